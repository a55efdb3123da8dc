// What Python calls (app/transformer/native/library.py): plain C names, plain structures, no exception beyond them.
#include <exception>

#include "layer.h"

using namespace attest;

namespace {

thread_local Arena arena;

template <class Work>
int guarded(Work&& work) {
    try {
        arena.clear();
        work();
        return 0;
    } catch (const std::exception&) {  // only memory can run out
        return 1;
    }
}

}  // namespace

extern "C" {

struct Pass {
    float* x;  // [rows, embed], changed in place
    int64_t rows;
    const Layer* const* layers;
    const Angles* angles;  // one for each of the model's rotary positions
    void* const* keys;     // one a layer
    void* const* values;
    const int64_t* start;  // [rows]
    const int64_t* position;
    int64_t count, position_stride, head_stride;
    int32_t float_cache, threads;
};

int attest_version() { return 1; }

int attest_multiplies_bf16() {
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

void attest_use_openmp(void* parallel, void* thread, void* threads) {
    openmp.thread = reinterpret_cast<int (*)()>(thread);
    openmp.threads = reinterpret_cast<int (*)()>(threads);
    openmp.parallel = reinterpret_cast<void (*)(void (*)(void*), void*, unsigned, unsigned)>(parallel);
}

int64_t attest_packed_bytes(int32_t kind, int64_t out, int64_t in) {
    Matrix m{nullptr, nullptr, nullptr, out, in, kind, 0};
    return m.panels() * m.groups() * m.block();
}

// whole: [out, in] numbers 0 … 15; scales: [in / group_size, out, 2] bfloat16, scale and offset, of groups of k · 64.
void attest_pack_int4(const uint8_t* whole, const bf16* scales, int64_t scale_out, int64_t out, int64_t in,
                      int64_t group_size, uint8_t* blocks) {
    int64_t groups = in / kGroup;
    for (int64_t panel = 0; panel * kPanel < out; ++panel)
        for (int64_t group = 0; group < groups; ++group) {
            uint8_t* block = blocks + (panel * groups + group) * kInt4Block;
            bf16* s = reinterpret_cast<bf16*>(block + kPanel * kGroup / 2);
            for (int64_t o = 0; o < kPanel; ++o) {
                int64_t row = panel * kPanel + o;
                for (int64_t i = 0; i < kGroup; ++i) {
                    uint8_t q = row < out ? whole[row * in + group * kGroup + i] : 8;
                    uint8_t& both = block[i / 4 * 64 + o % 16 * 4 + i % 4];
                    both = o < 16 ? q : static_cast<uint8_t>(both | q << 4);
                }
                const bf16* its = scales + (group * kGroup / group_size * scale_out + row) * 2;
                s[o] = row < out ? its[0] : 0;
                s[kPanel + o] = row < out ? its[1] : 0;
            }
        }
}

void attest_unpack_int4(const uint8_t* blocks, int64_t out, int64_t in, int64_t group_size, int64_t scale_out,
                        uint8_t* whole, bf16* scales) {
    int64_t groups = in / kGroup;
    for (int64_t row = 0; row < out; ++row)
        for (int64_t group = 0; group < groups; ++group) {
            const uint8_t* block = blocks + (row / kPanel * groups + group) * kInt4Block;
            int64_t o = row % kPanel;
            for (int64_t i = 0; i < kGroup; ++i) {
                uint8_t both = block[i / 4 * 64 + o % 16 * 4 + i % 4];
                whole[row * in + group * kGroup + i] = o < 16 ? both & 15 : both >> 4;
            }
            const bf16* s = reinterpret_cast<const bf16*>(block + kPanel * kGroup / 2);
            bf16* its = scales + (group * kGroup / group_size * scale_out + row) * 2;
            its[0] = s[o];
            its[1] = s[kPanel + o];
        }
}

// whole: [out, in] int8.
void attest_pack_int8(const int8_t* whole, int64_t out, int64_t in, uint8_t* blocks) {
    int64_t groups = (in + kGroup - 1) / kGroup;
    for (int64_t panel = 0; panel * kPanel < out; ++panel)
        for (int64_t group = 0; group < groups; ++group) {
            uint8_t* block = blocks + (panel * groups + group) * kInt8Block;
            for (int64_t o = 0; o < kPanel; ++o)
                for (int64_t i = 0; i < kGroup; ++i) {
                    int64_t row = panel * kPanel + o, column = group * kGroup + i;
                    int q = row < out && column < in ? whole[row * in + column] : 0;
                    block[i / 4 * 128 + o / 16 * 64 + o % 16 * 4 + i % 4] = static_cast<uint8_t>(q + 128);
                }
        }
}

void attest_unpack_int8(const uint8_t* blocks, int64_t out, int64_t in, int8_t* whole) {
    int64_t groups = (in + kGroup - 1) / kGroup;
    for (int64_t row = 0; row < out; ++row)
        for (int64_t column = 0; column < in; ++column) {
            const uint8_t* block = blocks + (row / kPanel * groups + column / kGroup) * kInt8Block;
            int64_t o = row % kPanel, i = column % kGroup;
            whole[row * in + column] = static_cast<int8_t>(block[i / 4 * 128 + o / 16 * 64 + o % 16 * 4 + i % 4] - 128);
        }
}

// Both ways between [out, in] bfloat16 and blocks.
void attest_pack_bf16(const bf16* whole, int64_t out, int64_t in, bf16* blocks) {
    int64_t width = (in + kGroup - 1) / kGroup * kGroup;
    for (int64_t panel = 0; panel * kPanel < out; ++panel)
        for (int64_t i = 0; i < width; ++i)
            for (int64_t o = 0; o < kPanel; ++o) {
                int64_t row = panel * kPanel + o;
                blocks[panel * kPanel * width + i / 2 * 64 + o * 2 + i % 2] = row < out && i < in ? whole[row * in + i] : 0;
            }
}

void attest_unpack_bf16(const bf16* blocks, int64_t out, int64_t in, bf16* whole) {
    int64_t width = (in + kGroup - 1) / kGroup * kGroup;
    for (int64_t row = 0; row < out; ++row)
        for (int64_t i = 0; i < in; ++i)
            whole[row * in + i] = blocks[row / kPanel * kPanel * width + i / 2 * 64 + row % kPanel * 2 + i % 2];
}

// out [rows, m.out] = x [rows, m.in] · weightᵀ + bias; either side float or bfloat16.
int attest_linear(const Matrix* m, const void* x, int32_t x_is_float, int64_t rows, void* out, int32_t out_is_float,
                  int32_t threads) {
    return guarded([&] {
        std::vector<Bench> bench;
        std::vector<Rows> own;
        bool each = rows <= kEveryThread;
        Rows shared;
        if (!each) shared = Rows::make(arena, rows, m->in);
        for (int i = 0; i < threads; ++i) {
            bench.push_back(Bench::make(arena, m->groups()));
            own.push_back(rows_of(*m, each ? Rows::make(arena, rows, m->in) : shared, rows));
        }
        run(threads, [&](Team& team, int thread) {
            const Rows& input = own[thread];
            for_rows(team, rows, [&](int64_t row) {
                if (x_is_float)
                    input.write_row(row, static_cast<const float*>(x) + row * m->in, m->in);
                else
                    input.write_row(row, static_cast<const bf16*>(x) + row * m->in, m->in);
            });
            multiply(team, *m, input, rows, bench[thread], [&](int64_t panel, int64_t row, const float* part) {
                int64_t first = panel * kPanel, here = m->out - first < kPanel ? m->out - first : kPanel;
                int64_t place = row * m->out + first;
                if (out_is_float)
                    std::memcpy(static_cast<float*>(out) + place, part, sizeof(float) * here);
                else if (here == kPanel)
                    for (int h = 0; h < 2; ++h)
                        store16(static_cast<bf16*>(out) + place + 16 * h, _mm512_loadu_ps(part + 16 * h));
                else
                    for (int64_t i = 0; i < here; ++i) put(static_cast<bf16*>(out) + place + i, part[i]);
            });
        });
    });
}

// Layers one after the other over a few rows, attention included.
int attest_layers(const Pass* pass) {
    return guarded([&] {
        int threads = pass->threads;
        int64_t fewest = pass->layers[0]->kv_heads;
        for (int64_t i = 1; i < pass->count; ++i)
            if (pass->layers[i]->kv_heads < fewest) fewest = pass->layers[i]->kv_heads;
        int64_t tasks = pass->rows * fewest, longest = 0;
        for (int64_t i = 0; i < pass->rows; ++i)
            if (pass->position[i] > longest) longest = pass->position[i];
        // Parts of at least a hundred keys, enough of them for all threads to have the same.
        int splits = 1;
        while (splits < threads && longest / (2 * splits) >= 128 && tasks * splits % threads != 0) ++splits;
        Room room = make_room(arena, pass->layers, pass->count, pass->rows, threads, splits);
        run(threads, [&](Team& team, int thread) {
            for (int64_t i = 0; i < pass->count; ++i) {
                Cache cache{pass->keys[i], pass->values[i], pass->position_stride, pass->head_stride, pass->start,
                            pass->position};
                if (pass->float_cache)
                    whole<float>(team, *pass->layers[i], pass->x, pass->rows, pass->angles[pass->layers[i]->rotary], cache, splits, room, thread);
                else
                    whole<bf16>(team, *pass->layers[i], pass->x, pass->rows, pass->angles[pass->layers[i]->rotary], cache, splits, room, thread);
            }
        });
    });
}

// The part of a layer before attention: `heads` [rows, heads + 2 kv_heads, head_dim], queries and keys turned.
int attest_before_attention(const Layer* layer, const float* x, int64_t rows, const Angles* angles, void* heads,
                            int32_t is_float, int32_t threads) {
    return guarded([&] {
        Room room = make_room(arena, &layer, 1, rows, threads, 0);
        run(threads, [&](Team& team, int thread) {
            project(team, *layer, x, rows, room, thread);
            int64_t dim = layer->head_dim, all = layer->all_heads();
            auto place = [&](int64_t row) {
                for (int64_t head = 0; head < all; ++head) {
                    float* its = room.qkv + (row * all + head) * dim;
                    if (head < layer->heads + layer->kv_heads)
                        place_head(*layer, its, head < layer->heads ? layer->query_norm : layer->key_norm, angles[layer->rotary], row);
                    for (int64_t i = 0; i < dim; i += 16) {
                        int64_t to = (row * all + head) * dim + i;
                        if (is_float)
                            store16(static_cast<float*>(heads) + to, _mm512_loadu_ps(its + i));
                        else
                            store16(static_cast<bf16*>(heads) + to, _mm512_loadu_ps(its + i));
                    }
                }
            };
            for (int64_t row; (row = team.next()) < rows;) place(row);
        });
    });
}

// The part after it: `mixed` [rows, heads, head_dim]; x is changed in place.
int attest_after_attention(const Layer* layer, const void* mixed, int32_t is_float, float* x, int64_t rows,
                           int32_t threads) {
    return guarded([&] {
        Room room = make_room(arena, &layer, 1, rows, threads, 0);
        run(threads, [&](Team& team, int thread) {
            if (is_float)
                finish(team, *layer, static_cast<const float*>(mixed), x, rows, room, thread);
            else
                finish(team, *layer, static_cast<const bf16*>(mixed), x, rows, room, thread);
        });
    });
}

}  // extern "C"
