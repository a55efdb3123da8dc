// A decoder layer: x + attention(norm(x)), then x + down(act(gate) · up) of norm(x). All layers of a pass over a few rows
// are one call; with many rows, or a kind of attention that is not written here, PyTorch attends between two calls.
#pragma once
#include "attention.h"
#include "products.h"

namespace attest {

struct Layer {
    Matrix qkv, out, gate_up, down;
    const float *attention_norm, *feed_forward_norm;  // weights [embed]
    const float *query_norm, *key_norm;               // [head_dim] or null
    float eps, head_eps, scale;
    int32_t activation;  // 0 silu, 1 gelu_tanh
    int32_t heads, kv_heads, head_dim;
    int32_t rotary_dim;  // 0: no rotary positions
    int32_t rotary;      // which of the pass's angles
    int64_t window;      // 0: none

    int64_t embed() const { return qkv.in; }
    int64_t ff() const { return down.in; }
    int64_t all_heads() const { return heads + 2 * kv_heads; }
};

struct Angles {
    const float *cos, *sin;  // [rows, rotary_dim]
};

constexpr int64_t kEveryThread = 8;  // up to so many rows each thread prepares for itself, which saves a barrier

// What the threads of a pass write into. One set serves all layers: they are alike in size or the largest counts.
struct Room {
    std::vector<Bench> bench;
    std::vector<MixRoom> mixing;
    std::vector<Rows> own;  // rows of each thread; with many rows all are the same memory
    float* qkv = nullptr;    // [rows, all_heads · head_dim]
    float* mixed = nullptr;  // [rows, heads · head_dim]
    float* share = nullptr;  // [rows, heads, splits, head_dim + 2]: mixed values of a part of the keys, sum, peak
    Rows hidden;
};

inline Rows rows_of(const Matrix& m, const Rows& made, int64_t rows) { return made.shape(rows, m.in, m.kind); }

inline Room make_room(Arena& arena, const Layer* const* layers, int64_t count, int64_t rows, int threads, int splits) {
    int64_t widest = 0, ff = 0, heads = 0, all = 0, groups = 0, dim = 0, query_heads = 0;
    auto most = [](int64_t& so_far, int64_t now) { so_far = now > so_far ? now : so_far; };
    for (int64_t i = 0; i < count; ++i) {
        const Layer& layer = *layers[i];
        most(widest, layer.embed());
        most(widest, layer.out.in);
        most(ff, layer.ff());
        most(heads, layer.out.in);
        most(all, layer.all_heads() * layer.head_dim);
        most(groups, layer.down.groups());
        most(groups, layer.qkv.groups());
        most(groups, layer.out.groups());
        most(dim, layer.head_dim);
        most(query_heads, layer.heads);
    }
    Room room;
    bool each = rows <= kEveryThread;
    Rows shared;
    if (!each) shared = Rows::make(arena, rows, widest);
    for (int i = 0; i < threads; ++i) {
        room.bench.push_back(Bench::make(arena, groups));
        room.mixing.push_back(MixRoom::make(arena));
        room.own.push_back(each ? Rows::make(arena, rows, widest) : shared);
    }
    room.qkv = arena.take<float>(rows * all);
    room.mixed = arena.take<float>(rows * heads);
    if (splits > 0) room.share = arena.take<float>(rows * query_heads * splits * (dim + 2));
    room.hidden = Rows::make(arena, rows, ff);
    return room;
}

// Calls write(row) for all rows: in every thread for itself, or shared and waited for.
template <class Write>
void for_rows(Team& team, int64_t rows, Write&& write) {
    if (rows <= kEveryThread) {
        for (int64_t row = 0; row < rows; ++row) write(row);
        return;
    }
    for (int64_t row; (row = team.next()) < rows;) write(row);
    team.barrier();
}

// norm(x) as the products of `m` want it.
inline Rows normed(Team& team, const Matrix& m, const float* x, int64_t rows, const float* weight, float eps, Rows made) {
    made = rows_of(m, made, rows);
    for_rows(team, rows, [&](int64_t row) {
        const float* its = x + row * m.in;
        made.write_row(row, its, m.in, rms_factor(its, m.in, eps), weight);
    });
    return made;
}

// room.qkv = qkv(norm(x)), before head norms and positions.
inline void project(Team& team, const Layer& layer, const float* x, int64_t rows, Room& room, int thread) {
    Rows input = normed(team, layer.qkv, x, rows, layer.attention_norm, layer.eps, room.own[thread]);
    multiply(team, layer.qkv, input, rows, room.bench[thread], [&](int64_t panel, int64_t row, const float* out) {
        int64_t first = panel * kPanel, left = layer.qkv.out - first;
        std::memcpy(room.qkv + row * layer.qkv.out + first, out, sizeof(float) * (left < kPanel ? left : kPanel));
    });
    team.barrier();
}

inline void place_head(const Layer& layer, float* head, const float* norm, const Angles& angles, int64_t row) {
    if (norm != nullptr) norm_head(head, norm, layer.head_dim, layer.head_eps);
    if (layer.rotary_dim != 0)
        turn(head, angles.cos + row * layer.rotary_dim, angles.sin + row * layer.rotary_dim, layer.rotary_dim);
}

// x += out(mixed), then x += down(act(gate) · up); `mixed` as float or as PyTorch's attention gave it.
template <class T>
void finish(Team& team, const Layer& layer, const T* mixed, float* x, int64_t rows, Room& room, int thread) {
    const Bench& bench = room.bench[thread];
    auto add = [&](const Matrix& m) {
        return [&, out = m.out](int64_t panel, int64_t row, const float* part) {
            int64_t first = panel * kPanel, left = out - first;
            float* to = x + row * out + first;
            for (int64_t i = 0; i < (left < kPanel ? left : kPanel); ++i) to[i] += part[i];
        };
    };
    Rows input = rows_of(layer.out, room.own[thread], rows);
    for_rows(team, rows, [&](int64_t row) { input.write_row(row, mixed + row * layer.out.in, layer.out.in); });
    multiply(team, layer.out, input, rows, bench, add(layer.out));
    team.barrier();
    input = normed(team, layer.gate_up, x, rows, layer.feed_forward_norm, layer.eps, room.own[thread]);
    Rows hidden = rows_of(layer.down, room.hidden, rows);
    int64_t half = layer.ff() / kPanel;
    // A unit is 64 gates and the 64 numbers that they gate: together one group of the next product's input.
    multiply<4>(
        team, layer.gate_up, input, rows, bench, layer.ff() / kGroup,
        [half](int64_t unit, int p) { return (p < 2 ? 0 : half) + 2 * unit + p % 2; },
        [&](int64_t unit, int64_t row, const float* out) {
            __m512 part[4];
            for (int i = 0; i < 4; ++i) {
                __m512 gate = _mm512_loadu_ps(out + 16 * i), up = _mm512_loadu_ps(out + kGroup + 16 * i);
                part[i] = _mm512_mul_ps(layer.activation == 0 ? silu16(gate) : gelu_tanh16(gate), up);
            }
            hidden.write(row, unit, part);
        });
    team.barrier();
    multiply(team, layer.down, hidden, rows, bench, add(layer.down));
    team.barrier();
}

// The whole layer for a few rows, keys and values appended to the cache first: rows of one sequence see one another
// as far as they stand before. Keys are shared out in `splits` parts where there are fewer heads than threads.
template <class T>
void whole(Team& team, const Layer& layer, float* x, int64_t rows, const Angles& angles, const Cache& cache, int splits,
           Room& room, int thread) {
    project(team, layer, x, rows, room, thread);
    int64_t dim = layer.head_dim, kv = layer.kv_heads, group = layer.heads / kv, width = layer.qkv.out;
    T* keys = static_cast<T*>(cache.keys);
    T* values = static_cast<T*>(cache.values);
    for (int64_t task; (task = team.next()) < rows * kv;) {
        int64_t row = task / kv, head = task % kv;
        float* key = room.qkv + row * width + (layer.heads + head) * dim;
        place_head(layer, key, layer.key_norm, angles, row);
        int64_t place = cache.start[row] + cache.position[row] * cache.position_stride + head * cache.head_stride;
        for (int64_t i = 0; i < dim; i += 16) {
            store16(keys + place + i, _mm512_loadu_ps(key + i));
            store16(values + place + i, _mm512_loadu_ps(key + kv * dim + i));
        }
    }
    team.barrier();
    for (int64_t task; (task = team.next()) < rows * kv * splits;) {
        int64_t row = task / (kv * splits), head = task / splits % kv, split = task % splits;
        alignas(64) float query[kMostGroup * kMostHeadDim], out[kMostGroup * kMostHeadDim];
        float peak[kMostGroup], total[kMostGroup];
        std::memcpy(query, room.qkv + row * width + head * group * dim, sizeof(float) * group * dim);
        for (int64_t g = 0; g < group; ++g) place_head(layer, query + g * dim, layer.query_norm, angles, row);
        int64_t last = cache.position[row] + 1;
        int64_t first = layer.window != 0 && layer.window < last ? last - layer.window : 0;
        int64_t each = (last - first + splits - 1) / splits, begin = first + split * each;
        int64_t end = begin + each < last ? begin + each : last, from = cache.start[row] + head * cache.head_stride;
        mix(query, static_cast<int>(group), dim, layer.scale, keys + from, values + from, cache.position_stride, begin,
            end, room.mixing[thread], out, peak, total);
        for (int64_t g = 0; g < group; ++g) {
            int64_t place = row * layer.heads + head * group + g;
            float* to = splits == 1 ? room.mixed + place * dim : room.share + (place * splits + split) * (dim + 2);
            float times = splits == 1 ? 1.0f / total[g] : 1.0f;
            for (int64_t i = 0; i < dim; ++i) to[i] = out[g * dim + i] * times;
            if (splits > 1) to[dim] = total[g], to[dim + 1] = peak[g];
        }
    }
    team.barrier();
    if (splits > 1) {
        for (int64_t task; (task = team.next()) < rows * layer.heads;) {
            const float* parts = room.share + task * splits * (dim + 2);
            float peak = -INFINITY, total = 0.0f;
            for (int s = 0; s < splits; ++s) peak = std::fmax(peak, parts[s * (dim + 2) + dim + 1]);
            float* to = room.mixed + task * dim;
            for (int64_t i = 0; i < dim; ++i) to[i] = 0.0f;
            for (int s = 0; s < splits; ++s) {
                const float* part = parts + s * (dim + 2);
                float weight = std::exp(part[dim + 1] - peak);  // an empty part has peak −∞: weight 0
                total += weight * part[dim];
                for (int64_t i = 0; i < dim; ++i) to[i] += weight * part[i];
            }
            for (int64_t i = 0; i < dim; ++i) to[i] /= total;
        }
        team.barrier();
    }
    finish(team, layer, room.mixed, x, rows, room, thread);
}

}  // namespace attest
