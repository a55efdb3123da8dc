// Rows of activations as the products want them: whole numbers with a scale for every 64, or bfloat16.
#pragma once
#include "simd.h"
#include "team.h"

namespace attest {

constexpr int kGroup = 64;

enum Kind : int32_t { kInt4 = 0, kInt8 = 1, kInt8Dynamic = 2, kBf16 = 3 };

constexpr int kLanes = 12;  // most lanes in a tile: with two registers each they fill the 32 there are

// `levels` 1: x ≈ scale · q, |q| ≤ 127. 2: x ≈ scale · (256 coarse + fine), 16 bits in two bytes. 0: bfloat16.
//
// A lane is four bytes of a row: four inputs (two in bfloat16) of one level. Some rows are a tile, in which the lanes of
// all rows for the same inputs lie side by side: the products walk through it with one pointer.
struct Rows {
    int levels = 1;
    int64_t width = 0;  // inputs, filled up with zeros to whole groups
    int64_t groups = 0;
    int64_t tile_rows = 1;
    int32_t* lanes = nullptr;  // [tiles, width / 4, tile_rows, levels]
    float* scale = nullptr;    // [rows, groups]
    int32_t* sum = nullptr;    // [rows, groups]: of the whole numbers

    int of_row() const { return levels == 2 ? 2 : 1; }
    int64_t across() const { return tile_rows * of_row(); }  // lanes from one input to the next
    int64_t deep() const { return width / (levels == 0 ? 2 : 4); }
    int32_t* tile(int64_t row) const {
        return lanes + row / tile_rows * across() * deep() + row % tile_rows * of_row();
    }

    // Room for `rows` of up to `inputs` numbers in any form; `shape` says which.
    static Rows make(Arena& arena, int64_t rows, int64_t inputs) {
        Rows made;
        int64_t groups = (inputs + kGroup - 1) / kGroup;
        made.lanes = arena.take<int32_t>((rows + kLanes) * groups * kGroup / 2);
        made.scale = arena.take<float>(rows * groups);
        made.sum = arena.take<int32_t>(rows * groups);
        return made;
    }

    Rows shape(int64_t rows, int64_t inputs, int kind) const {
        Rows made = *this;
        made.levels = kind == kBf16 ? 0 : kind == kInt8 ? 2 : 1;
        made.groups = (inputs + kGroup - 1) / kGroup;
        made.width = made.groups * kGroup;
        int64_t most = kLanes / made.of_row();
        made.tile_rows = rows < most ? rows : most;
        return made;
    }

    // Writes the 64 numbers `x` as group `group` of `row`.
    void write(int64_t row, int64_t group, const float* x) const {
        __m512 part[4];
        for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_ps(x + 16 * i);
        write(row, group, part);
    }

    void write(int64_t row, int64_t group, const __m512* part) const {
        int32_t* to = tile(row) + group * (deep() / groups) * across();
        if (levels == 0) {
            alignas(64) int32_t pairs[32];
            for (int i = 0; i < 4; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(pairs + 8 * i), to_bf16(part[i]));
            for (int i = 0; i < 32; ++i) to[i * across()] = pairs[i];
            return;
        }
        __m512 peak = _mm512_setzero_ps();
        int broken = 0;  // NaN or infinity: they must not become ordinary numbers, and go on through the scale
        for (int i = 0; i < 4; ++i) {
            peak = _mm512_max_ps(peak, _mm512_abs_ps(part[i]));
            broken |= _mm512_fpclass_ps_mask(part[i], 0x01 | 0x08 | 0x10 | 0x80);
        }
        float most = _mm512_reduce_max_ps(peak);
        float steps = levels == 2 ? 127.0f * 256.0f : 127.0f;
        // Below this a group is zero for any purpose, and its inverse would be infinite.
        __m512 inverse = _mm512_set1_ps(most > 1e-30f ? steps / most : 0.0f);
        __m512i total = _mm512_setzero_si512();
        alignas(64) int32_t fours[2][16];
        for (int i = 0; i < 4; ++i) {
            __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(part[i], inverse));
            total = _mm512_add_epi32(total, whole);
            __m128i* place = reinterpret_cast<__m128i*>(fours[0] + 4 * i);
            if (levels == 1) {
                _mm_store_si128(place, _mm512_cvtsepi32_epi8(whole));
            } else {
                __m512i coarse = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(128)), 8);
                __m512i fine = _mm512_sub_epi32(whole, _mm512_slli_epi32(coarse, 8));
                _mm_store_si128(place, _mm512_cvtsepi32_epi8(coarse));
                _mm_store_si128(place + 4, _mm512_cvtsepi32_epi8(fine));
            }
        }
        for (int i = 0; i < 16; ++i)
            for (int level = 0; level < levels; ++level) to[i * across() + level] = fours[level][i];
        scale[row * groups + group] = broken != 0 ? NAN : most > 1e-30f ? most / steps : 0.0f;
        sum[row * groups + group] = broken != 0 ? 1 : _mm512_reduce_add_epi32(total);
    }

    // Writes row `row` of `count` numbers at `x`, multiplied by `factor` and by `weight` where there is one.
    template <class T>
    void write_row(int64_t row, const T* x, int64_t count, float factor = 1.0f, const float* weight = nullptr) const {
        for (int64_t group = 0; group < groups; ++group) {
            alignas(64) float all[kGroup] = {};
            int64_t first = group * kGroup, here = count - first < kGroup ? count - first : kGroup;
            __m512 part[4];
            if (here == kGroup) {
                for (int i = 0; i < 4; ++i) part[i] = load16(x + first + 16 * i);
            } else {
                for (int64_t i = 0; i < here; ++i) all[i] = one(x + first + i);
                for (int i = 0; i < 4; ++i) part[i] = _mm512_load_ps(all + 16 * i);
            }
            if (weight != nullptr) {
                __m512 times = _mm512_set1_ps(factor);
                for (int i = 0; i < 4; ++i) {
                    int64_t left = count - first - 16 * i;
                    __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
                    __m512 its = _mm512_maskz_loadu_ps(mask, weight + first + 16 * i);
                    part[i] = _mm512_mul_ps(_mm512_mul_ps(part[i], times), its);
                }
            }
            write(row, group, part);
        }
    }
};

// 1 / √(mean(x²) + eps)
inline float rms_factor(const float* x, int64_t count, float eps) {
    __m512 total[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    int64_t i = 0;
    for (; i + 64 <= count; i += 64)
        for (int j = 0; j < 4; ++j) {
            __m512 part = _mm512_loadu_ps(x + i + 16 * j);
            total[j] = _mm512_fmadd_ps(part, part, total[j]);
        }
    float sum = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(total[0], total[1]), _mm512_add_ps(total[2], total[3])));
    for (; i < count; ++i) sum += x[i] * x[i];
    return 1.0f / std::sqrt(sum / static_cast<float>(count) + eps);
}

}  // namespace attest
