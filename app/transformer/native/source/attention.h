// Attention of single tokens over remembered keys and values, and what comes before it: head norms, rotary positions.
#pragma once
#include "rows.h"

namespace attest {

constexpr int kMostHeadDim = 256;
constexpr int kMostGroup = 16;     // query heads on one key head
constexpr int kKeysAtOnce = 256;

// Where the keys and values of one layer are, and where the rows of a pass stand in them. Counts are of numbers.
struct Cache {
    void* keys;
    void* values;
    int64_t position_stride, head_stride;
    const int64_t* start;     // [rows]: of the sequence of each row
    const int64_t* position;  // [rows]
};

// x[i], x[i + dim/2] turned in place; the first half of `sin` is negated.
inline void turn(float* x, const float* cos, const float* sin, int64_t dim) {
    for (int64_t i = 0, half = dim / 2; i < half; ++i) {
        float low = x[i], high = x[i + half];
        x[i] = low * cos[i] + high * sin[i];
        x[i + half] = high * cos[i + half] + low * sin[i + half];
    }
}

inline void norm_head(float* x, const float* weight, int64_t dim, float eps) {
    float factor = rms_factor(x, dim, eps);
    for (int64_t i = 0; i < dim; ++i) x[i] *= factor * weight[i];
}

// One thread's room for `mix`.
struct MixRoom {
    float* partial;  // [kMostGroup, 16, 16]
    float* score;    // [kMostGroup, kKeysAtOnce]
    static MixRoom make(Arena& arena) {
        return {arena.take<float>(kMostGroup * 256), arena.take<float>(kMostGroup * kKeysAtOnce)};
    }
};

// Σ softmax(q · k · scale) v of `group` query heads over keys first … last: unnormalised `out` [group, dim], the largest
// score `peak` and the sum `total` of each. Keys a few hundred at a time, what came before rescaled (Milakov &
// Gimelshein 2018): the scores stay in the first cache.
template <class T>
__attribute__((noinline)) void mix(const float* query, int group, int64_t dim, float scale, const T* keys, const T* values, int64_t stride,
         int64_t first, int64_t last, const MixRoom& room, float* out, float* peak, float* total) {
    for (int g = 0; g < group; ++g) {
        peak[g] = -INFINITY;
        total[g] = 0.0f;
        for (int64_t i = 0; i < dim; i += 16) _mm512_storeu_ps(out + g * dim + i, _mm512_setzero_ps());
    }
    for (int64_t begin = first; begin < last; begin += kKeysAtOnce) {
        int64_t end = begin + kKeysAtOnce < last ? begin + kKeysAtOnce : last;
        for (int64_t sixteen = begin; sixteen < end; sixteen += 16) {
            int count = static_cast<int>(end - sixteen < 16 ? end - sixteen : 16);
            for (int k = 0; k < count; ++k) {
                const T* key = keys + (sixteen + k) * stride;
                for (int64_t i = 0; i < dim; i += 64) {
                    int parts = static_cast<int>(dim - i < 64 ? (dim - i) / 16 : 4);
                    __m512 part[4];
                    for (int p = 0; p < parts; ++p) part[p] = load16(key + i + 16 * p);
                    for (int g = 0; g < group; ++g) {
                        const float* its = query + g * dim + i;
                        float* to = room.partial + (g * 16 + k) * 16;
                        __m512 sum = i == 0 ? _mm512_setzero_ps() : _mm512_load_ps(to);
                        for (int p = 0; p < parts; ++p) sum = _mm512_fmadd_ps(part[p], _mm512_loadu_ps(its + 16 * p), sum);
                        _mm512_store_ps(to, sum);
                    }
                }
            }
            __mmask16 there = static_cast<__mmask16>((1u << count) - 1);
            for (int g = 0; g < group; ++g) {
                __m512 scores = _mm512_mul_ps(sums_of_16(room.partial + g * 256), _mm512_set1_ps(scale));
                scores = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), there, scores);
                _mm512_store_ps(room.score + g * kKeysAtOnce + (sixteen - begin), scores);
            }
        }
        int64_t filled = (end - begin + 15) / 16 * 16;
        for (int g = 0; g < group; ++g) {
            float* score = room.score + g * kKeysAtOnce;
            __m512 most = _mm512_set1_ps(peak[g]);
            for (int64_t k = 0; k < filled; k += 16) most = _mm512_max_ps(_mm512_load_ps(score + k), most);
            float now = _mm512_reduce_max_ps(most);
            float before = peak[g] == now ? 1.0f : std::exp(peak[g] - now);
            __m512 sum = _mm512_setzero_ps();
            for (int64_t k = 0; k < filled; k += 16) {
                __m512 scores = _mm512_load_ps(score + k);
                __mmask16 there = _mm512_cmp_ps_mask(scores, _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ);
                __m512 weight = _mm512_maskz_mov_ps(there, exp16(_mm512_sub_ps(scores, _mm512_set1_ps(now))));
                _mm512_store_ps(score + k, weight);
                sum = _mm512_add_ps(sum, weight);
            }
            peak[g] = now;
            total[g] = total[g] * before + _mm512_reduce_add_ps(sum);
            if (before != 1.0f)
                for (int64_t i = 0; i < dim; i += 16) {
                    float* to = out + g * dim + i;
                    _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_loadu_ps(to), _mm512_set1_ps(before)));
                }
        }
        // Eight heads and 32 of their numbers at a time: sixteen sums stay in registers over all keys.
        for (int some = 0; some < group; some += 8) {
            int here = group - some < 8 ? group - some : 8;
            for (int64_t i = 0; i < dim; i += 32) {
                bool wide = i + 32 <= dim;
                __m512 sum[8][2];
                for (int g = 0; g < 8; ++g) sum[g][0] = sum[g][1] = _mm512_setzero_ps();
                auto add = [&](int heads) __attribute__((always_inline)) {
                    for (int64_t k = begin; k < end; ++k) {
                        const T* value = values + k * stride + i;
                        __m512 low = load16(value), high = wide ? load16(value + 16) : _mm512_setzero_ps();
                        for (int g = 0; g < heads; ++g) {
                            __m512 weight = _mm512_set1_ps(room.score[(some + g) * kKeysAtOnce + (k - begin)]);
                            sum[g][0] = _mm512_fmadd_ps(weight, low, sum[g][0]);
                            sum[g][1] = _mm512_fmadd_ps(weight, high, sum[g][1]);
                        }
                    }
                };
                switch (here) {  // a fixed number of heads keeps the sums in registers
                    case 1: add(1); break;
                    case 2: add(2); break;
                    case 3: add(3); break;
                    case 4: add(4); break;
                    case 5: add(5); break;
                    case 6: add(6); break;
                    case 7: add(7); break;
                    default: add(8);
                }
                for (int g = 0; g < here; ++g) {
                    float* to = out + (some + g) * dim + i;
                    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[g][0]));
                    if (wide) _mm512_storeu_ps(to + 16, _mm512_add_ps(_mm512_loadu_ps(to + 16), sum[g][1]));
                }
            }
        }
    }
}

}  // namespace attest
