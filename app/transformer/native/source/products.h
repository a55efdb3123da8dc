// Products of a few rows with a packed weight, and of many rows with one panel of it after the other.
//
// A panel is 32 outputs. In it, 64 inputs (a group) follow one another, and in a group 4 inputs (2 in bfloat16) of all 32
// outputs: one instruction multiplies 4 inputs of 16 outputs with 4 broadcast activations. One panel is one stretch of
// memory, read once from its beginning to its end.
#pragma once
#include <utility>

#include "rows.h"

namespace attest {

#define ATTEST_INLINE __attribute__((always_inline))

constexpr int kPanel = 32;
constexpr int64_t kInt4Block = kPanel * kGroup / 2 + 4 * kPanel;  // bytes of a group: numbers, then scales, offsets
constexpr int64_t kInt8Block = kPanel * kGroup;
constexpr int64_t kBf16Block = 2 * kPanel * kGroup;

struct Matrix {
    const uint8_t* blocks;  // [panels, groups, block]
    const float* scale;     // [32 · panels], int8 only
    const float* bias;      // [32 · panels] or null
    int64_t out, in;
    int32_t kind;
    int32_t unused;

    int64_t panels() const { return (out + kPanel - 1) / kPanel; }
    int64_t groups() const { return (in + kGroup - 1) / kGroup; }
    int64_t block() const { return kind == kInt4 ? kInt4Block : kind == kBf16 ? kBf16Block : kInt8Block; }
    const uint8_t* panel(int64_t number) const { return blocks + number * groups() * block(); }
};

// sum += the four products of each lane, `four` the same for all. In assembler: with the intrinsics g++ 12 copies every
// sum to another register and back, and stores those that then find none.
ATTEST_INLINE inline void add_products(__m512i& sum, __m512i unsigned_bytes, const int32_t& four) {
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "m"(four));
}
#ifdef __AVX512BF16__
ATTEST_INLINE inline void add_products(__m512& sum, __m512i pairs, const int32_t& two) {
    asm("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(pairs), "m"(two));
}
#endif

inline void store_both(float* to, __m512 low, __m512 high) {
    _mm512_storeu_ps(to, low);
    _mm512_storeu_ps(to + 16, high);
}

// What all kernels below write: `out` float [R, stride], its first 32 numbers of each row; the R rows lie in one tile.

// Calls f(r) for r = 0 … R − 1, each a constant: in a loop, even an unrolled one, g++ keeps the sums in memory.
template <class F, int... I>
ATTEST_INLINE inline void each(F&& f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
#define EACH_ROW each([&](auto r) ATTEST_INLINE {
#define END_EACH }, std::make_integer_sequence<int, R>{});

// 4 bits, offset and scale a group: Σ (q − 8) x · scale + offset · Σ x, the sums exact in whole numbers.
inline void close_int4_group(const uint8_t* scales, __m512i low, __m512i high, float step, int32_t sum, __m512* out) {
    const bf16* s = reinterpret_cast<const bf16*>(scales);
    __m512 times = _mm512_set1_ps(step), offsets = _mm512_set1_ps(step * static_cast<float>(sum));
    out[0] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(low), load16(s)), times, out[0]);
    out[1] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(high), load16(s + 16)), times, out[1]);
    out[0] = _mm512_fmadd_ps(load16(s + 32), offsets, out[0]);
    out[1] = _mm512_fmadd_ps(load16(s + 48), offsets, out[1]);
}

// R rows straight from the nibbles.
template <int R>
void int4_tile(const uint8_t* block, const Rows& x, int64_t row, float* out, int64_t stride) {
    __m512 result[R][2];
    EACH_ROW
        result[r][0] = result[r][1] = _mm512_setzero_ps();
    END_EACH
    const __m512i mask = _mm512_set1_epi8(15);
    const int32_t* at = x.tile(row);
    const int64_t across = x.across();
    for (int64_t group = 0; group < x.groups; ++group, block += kInt4Block) {
        __m512i sums[R][2];
        EACH_ROW
            sums[r][0] = sums[r][1] = _mm512_set1_epi32(-8 * x.sum[(row + r) * x.groups + group]);
        END_EACH
#pragma GCC unroll 4
        for (int c = 0; c < kGroup / 4; ++c, at += across) {
            _mm_prefetch(reinterpret_cast<const char*>(block + 64 * c + 3 * kInt4Block), _MM_HINT_T0);
            __m512i both = _mm512_loadu_si512(block + 64 * c);
            __m512i low = _mm512_and_si512(both, mask);
            __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
            EACH_ROW
                add_products(sums[r][0], low, at[r]);
                add_products(sums[r][1], high, at[r]);
            END_EACH
        }
        EACH_ROW
            int64_t place = (row + r) * x.groups + group;
            close_int4_group(block + kPanel * kGroup / 2, sums[r][0], sums[r][1], x.scale[place], x.sum[place], result[r]);
        END_EACH
    }
    EACH_ROW
        store_both(out + r * stride, result[r][0], result[r][1]);
    END_EACH
}

// The same from nibbles that were spread into bytes before: [groups, 16, 2, 64].
inline void spread_int4(const uint8_t* block, int64_t groups, uint8_t* out) {
    const __m512i mask = _mm512_set1_epi8(15);
    for (int64_t group = 0; group < groups; ++group, block += kInt4Block)
        for (int c = 0; c < kGroup / 4; ++c, out += 128) {
            __m512i both = _mm512_loadu_si512(block + 64 * c);
            _mm512_store_si512(out, _mm512_and_si512(both, mask));
            _mm512_store_si512(out + 64, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
        }
}

template <int R>
void spread_tile(const uint8_t* spread, const uint8_t* block, const Rows& x, int64_t row, float* out, int64_t stride) {
    alignas(64) float result[R][kPanel] = {};
    const int32_t* at = x.tile(row);
    const int64_t across = x.across();
    for (int64_t group = 0; group < x.groups; ++group, block += kInt4Block) {
        __m512i sums[R][2];
        EACH_ROW
            sums[r][0] = sums[r][1] = _mm512_set1_epi32(-8 * x.sum[(row + r) * x.groups + group]);
        END_EACH
#pragma GCC unroll 2
        for (int c = 0; c < kGroup / 4; ++c, spread += 128, at += across) {
            __m512i low = _mm512_load_si512(spread), high = _mm512_load_si512(spread + 64);
            EACH_ROW
                add_products(sums[r][0], low, at[r]);
                add_products(sums[r][1], high, at[r]);
            END_EACH
        }
        EACH_ROW
            int64_t place = (row + r) * x.groups + group;
            __m512 both[2] = {_mm512_load_ps(result[r]), _mm512_load_ps(result[r] + 16)};
            close_int4_group(block + kPanel * kGroup / 2, sums[r][0], sums[r][1], x.scale[place], x.sum[place], both);
            _mm512_store_ps(result[r], both[0]);
            _mm512_store_ps(result[r] + 16, both[1]);
        END_EACH
    }
    EACH_ROW
        store_both(out + r * stride, _mm512_load_ps(result[r]), _mm512_load_ps(result[r] + 16));
    END_EACH
}

// int8 weights lie as w + 128 (the instruction wants one side without a sign); 128 Σ x is taken off at the start.
template <int R, int L>
void int8_tile(const uint8_t* block, const float* scale, const Rows& x, int64_t row, float* out, int64_t stride) {
    alignas(64) float result[R][kPanel] = {};
    const int32_t* at = x.tile(row);
    const int64_t across = x.across();
    for (int64_t group = 0; group < x.groups; ++group, block += kInt8Block) {
        __m512i fine[R][2], coarse[R][2];
        EACH_ROW
            fine[r][0] = fine[r][1] = _mm512_set1_epi32(-128 * x.sum[(row + r) * x.groups + group]);
            coarse[r][0] = coarse[r][1] = _mm512_setzero_si512();
        END_EACH
#pragma GCC unroll 2
        for (int c = 0; c < kGroup / 4; ++c, at += across) {
            if (R * L <= 8) {
                _mm_prefetch(reinterpret_cast<const char*>(block + 128 * c + 2 * kInt8Block), _MM_HINT_T0);
                _mm_prefetch(reinterpret_cast<const char*>(block + 128 * c + 64 + 2 * kInt8Block), _MM_HINT_T0);
            }
            __m512i low = _mm512_loadu_si512(block + 128 * c), high = _mm512_loadu_si512(block + 128 * c + 64);
            EACH_ROW
                if (L == 2) {
                    add_products(coarse[r][0], low, at[2 * r]);
                    add_products(coarse[r][1], high, at[2 * r]);
                }
                add_products(fine[r][0], low, at[r * L + L - 1]);
                add_products(fine[r][1], high, at[r * L + L - 1]);
            END_EACH
        }
        EACH_ROW
            __m512 step = _mm512_set1_ps(x.scale[(row + r) * x.groups + group]);
            if (L == 2) {
                fine[r][0] = _mm512_add_epi32(_mm512_slli_epi32(coarse[r][0], 8), fine[r][0]);
                fine[r][1] = _mm512_add_epi32(_mm512_slli_epi32(coarse[r][1], 8), fine[r][1]);
            }
            store_both(result[r], _mm512_fmadd_ps(_mm512_cvtepi32_ps(fine[r][0]), step, _mm512_load_ps(result[r])),
                       _mm512_fmadd_ps(_mm512_cvtepi32_ps(fine[r][1]), step, _mm512_load_ps(result[r] + 16)));
        END_EACH
    }
    EACH_ROW
        store_both(out + r * stride, _mm512_mul_ps(_mm512_load_ps(result[r]), _mm512_loadu_ps(scale)),
                   _mm512_mul_ps(_mm512_load_ps(result[r] + 16), _mm512_loadu_ps(scale + 16)));
    END_EACH
}

#ifdef __AVX512BF16__
template <int R>
void bf16_tile(const uint8_t* block, const Rows& x, int64_t row, float* out, int64_t stride) {
    __m512 sums[R][2];
    EACH_ROW
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    END_EACH
    const int32_t* at = x.tile(row);
    const int64_t across = x.across();
    for (int64_t c = 0; c < x.deep(); ++c, block += 128, at += across) {
        if (R <= 8) {
            _mm_prefetch(reinterpret_cast<const char*>(block + 4096), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(block + 4096 + 64), _MM_HINT_T0);
        }
        __m512i low = _mm512_loadu_si512(block), high = _mm512_loadu_si512(block + 64);
        EACH_ROW
            add_products(sums[r][0], low, at[r]);
            add_products(sums[r][1], high, at[r]);
        END_EACH
    }
    EACH_ROW
        store_both(out + r * stride, sums[r][0], sums[r][1]);
    END_EACH
}
#endif
#undef EACH_ROW
#undef END_EACH

constexpr int kTile = kLanes;   // rows at once, in one tile or two
constexpr int kFewNibbles = 4;  // up to so many rows nibbles are spread in registers, above once for all rows

// Rows `row … row + count` (≤ kTile) times one panel. `spread`: its nibbles as bytes, or null.
__attribute__((noinline)) inline void panel_times_rows(const Matrix& m, int64_t number, const uint8_t* spread, const Rows& x, int64_t row,
                             int count, float* out, int64_t stride) {
    const uint8_t* block = m.panel(number);
    const float* scale = m.scale + number * kPanel;
    for (int done = 0; done < count;) {
        int left = count - done, took = 1;
        int64_t at = row + done;
        float* to = out + done * stride;
        // Four sizes of tile: the remainder of many rows is small beside the rest.
#define TAKE(size, call) \
    if (left >= size) {  \
        took = size;     \
        call;            \
    }
        switch (m.kind) {
            case kInt4:
                if (spread == nullptr) {
                    TAKE(4, int4_tile<4>(block, x, at, to, stride))
                    else TAKE(2, int4_tile<2>(block, x, at, to, stride)) else int4_tile<1>(block, x, at, to, stride);
                } else {
                    TAKE(12, spread_tile<12>(spread, block, x, at, to, stride))
                    else TAKE(8, spread_tile<8>(spread, block, x, at, to, stride))
                    else TAKE(4, spread_tile<4>(spread, block, x, at, to, stride))
                    else TAKE(2, spread_tile<2>(spread, block, x, at, to, stride))
                    else spread_tile<1>(spread, block, x, at, to, stride);
                }
                break;
            case kInt8:
                TAKE(6, (int8_tile<6, 2>(block, scale, x, at, to, stride)))
                else TAKE(4, (int8_tile<4, 2>(block, scale, x, at, to, stride)))
                else TAKE(2, (int8_tile<2, 2>(block, scale, x, at, to, stride)))
                else int8_tile<1, 2>(block, scale, x, at, to, stride);
                break;
            case kInt8Dynamic:
                TAKE(12, (int8_tile<12, 1>(block, scale, x, at, to, stride)))
                else TAKE(8, (int8_tile<8, 1>(block, scale, x, at, to, stride)))
                else TAKE(4, (int8_tile<4, 1>(block, scale, x, at, to, stride)))
                else TAKE(2, (int8_tile<2, 1>(block, scale, x, at, to, stride)))
                else int8_tile<1, 1>(block, scale, x, at, to, stride);
                break;
            default:
#ifdef __AVX512BF16__
                TAKE(12, bf16_tile<12>(block, x, at, to, stride))
                else TAKE(8, bf16_tile<8>(block, x, at, to, stride))
                else TAKE(4, bf16_tile<4>(block, x, at, to, stride))
                else TAKE(2, bf16_tile<2>(block, x, at, to, stride))
                else bf16_tile<1>(block, x, at, to, stride);
#endif
                break;
        }
#undef TAKE
        done += took;
    }
    if (m.bias != nullptr)
        for (int r = 0; r < count; ++r)
            for (int h = 0; h < 2; ++h) {
                float* to = out + r * stride + 16 * h;
                __m512 bias = _mm512_loadu_ps(m.bias + number * kPanel + 16 * h);
                _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), bias));
            }
}

// What one thread needs beside its rows.
struct Bench {
    float* out;       // [kTile, 4, kPanel]
    uint8_t* spread;  // [4, groups, 2,048]
    static Bench make(Arena& arena, int64_t groups) {
        return {arena.take<float>(kTile * 4 * kPanel), arena.take<uint8_t>(4 * groups * kInt8Block)};
    }
};

// Calls emit(unit, row, out) for each row and each unit of P panels, `panel_of(unit, p)`; out holds P · 32 numbers. The
// units are shared among the team. Many rows are taken in parts that stay in the second cache beside a panel.
template <int P, class PanelOf, class Emit>
void multiply(Team& team, const Matrix& m, const Rows& x, int64_t rows, const Bench& bench, int64_t units,
              PanelOf&& panel_of, Emit&& emit) {
    int64_t width = x.width * (x.levels == 0 ? 2 : x.levels);
    int64_t at_once = (400'000 / width + kTile - 1) / kTile * kTile;
    if (at_once < 4 * kTile) at_once = 4 * kTile;
    int64_t parts = (rows + at_once - 1) / at_once;
    bool spread = m.kind == kInt4 && rows > kFewNibbles;
    int64_t spread_bytes = m.groups() * kInt8Block;
    for (int64_t task; (task = team.next()) < parts * units;) {
        int64_t unit = task % units, first = task / units * at_once;
        int64_t last = first + at_once < rows ? first + at_once : rows;
        if (spread)
            for (int p = 0; p < P; ++p)
                spread_int4(m.panel(panel_of(unit, p)), m.groups(), bench.spread + p * spread_bytes);
        for (int64_t row = first; row < last; row += kTile) {
            int count = static_cast<int>(last - row < kTile ? last - row : kTile);
            for (int p = 0; p < P; ++p)
                panel_times_rows(m, panel_of(unit, p), spread ? bench.spread + p * spread_bytes : nullptr, x, row, count,
                                 bench.out + p * kPanel, P * kPanel);
            for (int r = 0; r < count; ++r) emit(unit, row + r, bench.out + r * P * kPanel);
        }
    }
}

template <class Emit>
void multiply(Team& team, const Matrix& m, const Rows& x, int64_t rows, const Bench& bench, Emit&& emit) {
    multiply<1>(team, m, x, rows, bench, m.panels(), [](int64_t unit, int) { return unit; }, emit);
}

}  // namespace attest
