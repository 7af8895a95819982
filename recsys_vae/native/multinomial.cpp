// The multinomial likelihood of a linear output layer, both passes, with products of bfloat16 summed in float32.
//
//     logit_uj = h_u w_j + b_j,   nll_u = N_u logsumexp_j(logit_uj) - sum_i x_ui logit_ui
//     d nll_u / d logit_uj = N_u softmax_uj - x_uj
//
// Items are taken in chunks. A chunk of logits is made, exponentiated and summed in the cache, item by item, users side by
// side; main memory sees the weights, the exponentials (in bfloat16, relative to the chunk's own maximum) and, on the way
// back, the gradient of the weights, each once. Sums are in float32, in an order that the number of threads decides.
//
// Users may stand in leaves: sums over users are then those of each leaf, added up in a binary tree, whatever else is
// computed beside a leaf. With one thread a leaf's numbers are the same wherever it stands.
//
// Bfloat16 numbers are multiplied in pairs: 32 bits hold two that follow each other in the dimension summed over.
#include <utility>
#include <vector>

#include "multinomial.h"

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)  // with AMX: multinomial_amx.cpp

namespace {

constexpr int64_t GROUP = 2;  // chunks after which the gradient of the hidden vectors, larger than the cache, is added to

using Pair = uint32_t;

// Lane by lane, the pair of a number of `first` and one of `second`.
inline __m512i paired(__m256i first, __m256i second) {
    return _mm512_or_si512(widened(first), _mm512_slli_epi32(widened(second), 16));
}
// Asks for numbers that are needed soon.
inline void fetch(const float* p, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T1);
}

// A matrix of pairs in panels of 64 columns, zero where the columns end before a vector does.
struct Panels {
    int64_t pairs, width;  // width: columns, rounded up to whole vectors
    Buffer<Pair> data;

    Panels(int64_t pairs, int64_t columns)
        : pairs(pairs), width(rounded_up(columns, LANES)), data(buffer<Pair>(pairs * width)) {}
    const Pair* at(int64_t column) const { return data.get() + column * pairs; }
    Pair* vector(int64_t pair, int64_t column) {
        const int64_t panel = column / PANEL * PANEL;
        return data.get() + panel * pairs + pair * std::min<int64_t>(PANEL, width - panel) + column - panel;
    }
};

// c[r][v] += sum over pairs p of a(r, p) b(p, v); a(r, p) = a[r * row + p * step], b a panel of V vectors.
template <int R, int V>
inline void multiply(const Pair* a, int64_t row, int64_t step, const Pair* b, int64_t pairs, __m512 (&c)[R][V]) {
    for (int64_t p = 0; p < pairs; ++p, a += step, b += V * LANES) {
        __m512bh columns[V];
        for (int v = 0; v < V; ++v) columns[v] = (__m512bh)_mm512_load_si512(b + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            const __m512bh number = (__m512bh)_mm512_set1_epi32(a[r * row]);
            for (int v = 0; v < V; ++v) c[r][v] = _mm512_dpbf16_ps(c[r][v], number, columns[v]);
        }
    }
}

// Calls f<R, V>(row, column) for each tile of a product; a panel of columns stays in the cache for all of its rows.
template <class F>
inline void tiles(int64_t rows, int64_t width, F&& f) {
    for (int64_t column = 0; column < width; column += PANEL)
        for (int64_t row = 0; row < rows; row += ROWS)
            with_tile(static_cast<int>(std::min<int64_t>(ROWS, rows - row)), vectors_in(column, width),
                      [&]<int R, int V>() { f.template operator()<R, V>(row, column); });
}

struct Layer : LayerOf<LANES> {
    // The hidden vectors in pairs along their dimension, users side by side.
    Panels by_dimension() const {
        Panels packed(depth / 2, n);
#pragma omp parallel for num_threads(threads)
        for (int64_t user = 0; user < users; ++user)
            for (int64_t k = 0; k < depth; k += 2 * LANES) {
                alignas(64) Pair line[LANES];
                _mm256_store_si256((__m256i*)line, to_bf16(hidden_at(user, k)));
                _mm256_store_si256((__m256i*)line + 1, to_bf16(hidden_at(user, k + LANES)));
                for (int64_t p = 0; p < LANES; ++p) *packed.vector(k / 2 + p, user) = line[p];
            }
        return packed;
    }
    // The hidden vectors in pairs of users, dimensions side by side.
    Panels by_user() const {
        Panels packed(users / 2, d);
#pragma omp parallel for num_threads(threads)
        for (int64_t user = 0; user < users; user += 2)
            for (int64_t k = 0; k < packed.width; k += LANES)
                _mm512_store_si512(packed.vector(user / 2, k),
                                   paired(to_bf16(hidden_at(user, k)), to_bf16(hidden_at(user + 1, k))));
        return packed;
    }
    // Logits of a chunk, (size, users), and their maximum of each user; `rows` has room for its weights.
    void logits(int64_t chunk, const Panels& packed, Pair* rows, float* out, float* maximum) const {
        for (int64_t u = 0; u < users; ++u) maximum[u] = -INFINITY;
        for (int64_t item = 0; item < size(chunk); ++item)
            for (int64_t k = 0; k < depth; k += LANES)
                _mm256_store_si256((__m256i*)(rows + (item * depth + k) / 2), to_bf16(weight_at(start(chunk) + item, k)));
        tiles(size(chunk), users, [&]<int R, int V>(int64_t item, int64_t u) {
            __m512 c[R][V];
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v) c[r][v] = _mm512_set1_ps(bias[start(chunk) + item + r]);
            multiply<R, V>(rows + item * depth / 2, depth / 2, 1, packed.at(u), packed.pairs, c);
            for (int v = 0; v < V; ++v) {
                __m512 highest = _mm512_loadu_ps(maximum + u + v * LANES);
                for (int r = 0; r < R; ++r) {
                    highest = _mm512_max_ps(highest, c[r][v]);
                    _mm512_storeu_ps(out + (item + r) * users + u + v * LANES, c[r][v]);
                }
                _mm512_storeu_ps(maximum + u + v * LANES, highest);
            }
        });
    }
    // e^(logit - maximum) of a chunk in bfloat16, (size, users), and their sums by user.
    void exponentials(int64_t chunk, const float* logits, const float* maximum, uint16_t* out, float* sums) const {
        for (int64_t u = 0; u < users; u += LANES) {
            const __m512 highest = _mm512_loadu_ps(maximum + u);
            __m512 sum = _mm512_setzero_ps();
            for (int64_t item = 0; item < size(chunk); ++item) {
                const __m512 e = exp_of(_mm512_sub_ps(_mm512_loadu_ps(logits + item * users + u), highest));
                sum = _mm512_add_ps(sum, e);
                _mm256_storeu_si256((__m256i*)(out + item * users + u), to_bf16(e));
            }
            _mm512_storeu_ps(sums + u, sum);
        }
    }
};

// The way back, of one thread.
struct Backward {
    const Layer& layer;
    const Targets& targets;
    const float* pulls;  // what each target takes off the gradient
    Buffer<float> row = buffer<float>(2 * layer.users);
    Buffer<Pair> gradient = buffer<Pair>(CHUNK * layer.users / 2);  // of the logits: pairs of users
    Panels by_item{GROUP * CHUNK / 2, layer.users};                 // of a group of chunks: pairs of items
    Buffer<Pair> weights = buffer<Pair>(GROUP * CHUNK / 2 * layer.depth);  // the same
    Buffer<float> hidden_gradient = buffer<float>(layer.depth * layer.users);

    Backward(const Layer& layer, const Targets& targets, const float* pulls)
        : layer(layer), targets(targets), pulls(pulls) {
        std::fill_n(hidden_gradient.get(), layer.depth * layer.users, 0.0f);
    }

    // Gradient of a chunk's logits from its exponentials and each user's factor; writes that of the biases.
    void of_logits(int64_t chunk, const uint16_t* exponentials, const float* factors, float* bias_gradient) {
        const int64_t users = layer.users, start = layer.start(chunk), size = layer.size(chunk);
        const int64_t pair = pairs;  // of the group, where the chunk begins
        int64_t entry = targets.first(start);
        for (int64_t item = 0; item < CHUNK; item += 2) {
            for (int64_t i = item; i < item + 2; ++i) {
                float* out = row.get() + (i - item) * users;
                for (int64_t u = 0; u < users; u += LANES) {
                    __m512 g = _mm512_setzero_ps();
                    if (i < size)
                        g = _mm512_mul_ps(from_bf16(_mm256_loadu_si256((const __m256i*)(exponentials + i * users + u))),
                                          _mm512_loadu_ps(factors + u));
                    _mm512_storeu_ps(out + u, g);
                }
                for (; entry < targets.count && targets.items[entry] == start + i; ++entry)
                    out[targets.users[entry]] -= pulls[entry];
                if (bias_gradient && i < size) bias_gradient[start + i] = layer.sum(out);
            }
            for (int64_t u = 0; u < users; u += LANES) {
                const __m256i one = to_bf16(_mm512_loadu_ps(row.get() + u));
                const __m256i two = to_bf16(_mm512_loadu_ps(row.get() + users + u));
                _mm256_storeu_si256((__m256i*)(gradient.get() + (item * users + u) / 2), one);
                _mm256_storeu_si256((__m256i*)(gradient.get() + ((item + 1) * users + u) / 2), two);
                _mm512_store_si512(by_item.vector(pair + item / 2, u), paired(one, two));
            }
        }
        for (int64_t p = 0; p < (size + 1) / 2; ++p)
            for (int64_t k = 0; k < layer.depth; k += LANES)
                _mm512_store_si512(weights.get() + (pair + p) * layer.depth + k,
                                   paired(to_bf16(layer.weight_at(start + 2 * p, k)),
                                          to_bf16(layer.weight_at(start + 2 * p + 1, k))));
        pairs += (size + 1) / 2;
    }
    void of_weights(int64_t chunk, const Panels& packed, float* weight_gradient) {
        const int64_t d = layer.d, users = layer.users;
        tiles(layer.size(chunk), packed.width, [&]<int R, int V>(int64_t item, int64_t k) {
            float* out = weight_gradient + (layer.start(chunk) + item) * d + k;
            __m512 c[R][V] = {};
            if (layer.leaves == 1) {
                multiply<R, V>(gradient.get() + item * users / 2, users / 2, 1, packed.at(k), packed.pairs, c);
            } else {
                struct Block { __m512 c[R][V]; };
                auto add = [](Block& a, const Block& b) {
                    for (int r = 0; r < R; ++r)
                        for (int v = 0; v < V; ++v) a.c[r][v] = _mm512_add_ps(a.c[r][v], b.c[r][v]);
                };
                Tree<Block, decltype(add)> tree{add};
                for (int64_t leaf = 0; leaf < layer.leaves; ++leaf) {
                    const int64_t from = layer.first(leaf) / 2, count = layer.last(leaf) / 2 - from;
                    Block block = {};
                    multiply<R, V>(gradient.get() + item * users / 2 + from, users / 2, 1, packed.at(k) + from * V * LANES,
                                   count, block.c);
                    tree.take(block);
                }
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < V; ++v) c[r][v] = tree.total().c[r][v];
            }
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v)
                    _mm512_mask_storeu_ps(out + r * d + v * LANES, lanes_before(d, k + v * LANES), c[r][v]);
        });
    }
    // Adds what the chunks since the last call give.
    void of_hidden() {
        const int64_t depth = layer.depth, users = layer.users;
        tiles(layer.d, users, [&]<int R, int V>(int64_t k, int64_t u) {
            float* out = hidden_gradient.get() + k * users + u;
            for (int r = 0; r < R; ++r) fetch(out + (R + r) * users, PANEL);
            __m512 c[R][V];
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v) c[r][v] = _mm512_loadu_ps(out + r * users + v * LANES);
            multiply<R, V>(weights.get() + k, 1, depth, by_item.at(u), pairs, c);
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v) _mm512_storeu_ps(out + r * users + v * LANES, c[r][v]);
        });
        pairs = 0;
    }

   private:
    int64_t pairs = 0;  // of items, in the group so far

};

}  // namespace

// hidden (n, d), weight (items, d), bias (items); target entries sorted by item. Writes target_logits (entries), normaliser
// (n), and for the way back maxima (chunks, users) and, unless null, exponentials (items, users); users: n rounded up to 16.
extern "C" void recsys_multinomial_forward(int64_t n, int64_t d, int64_t items, const float* hidden, const float* weight,
                                           const float* bias, const int64_t* target_users, const int64_t* target_items,
                                           int64_t entries, float* target_logits, float* normaliser, float* maxima,
                                           uint16_t* exponentials, int threads) {
    const Layer layer{{n, d, items, hidden, weight, bias, threads}};
    const Targets targets{target_users, target_items, entries};
    const Panels packed = layer.by_dimension();
    auto sums = buffer<float>(layer.chunks * layer.users);
#pragma omp parallel num_threads(threads)
    {
        auto logits = buffer<float>(CHUNK * layer.users);
        auto rows = buffer<Pair>(CHUNK * layer.depth / 2);
        auto unwanted = buffer<uint16_t>(exponentials ? 0 : CHUNK * layer.users);
#pragma omp for schedule(static)
        for (int64_t chunk = 0; chunk < layer.chunks; ++chunk) {
            const int64_t start = layer.start(chunk), end = start + layer.size(chunk);
            float* maximum = maxima + chunk * layer.users;
            layer.logits(chunk, packed, rows.get(), logits.get(), maximum);
            for (int64_t e = targets.first(start); e < entries && target_items[e] < end; ++e)
                target_logits[e] = logits[(target_items[e] - start) * layer.users + target_users[e]];
            layer.exponentials(chunk, logits.get(), maximum,
                               exponentials ? exponentials + start * layer.users : unwanted.get(),
                               sums.get() + chunk * layer.users);
        }
    }
    normalise(n, layer.users, layer.chunks, maxima, sums.get(), normaliser, threads);
}

// The gradients, given those of the likelihoods times the users' counts (n, `scale`) and times the targets' values
// (entries, `pulls`), and what the way there wrote; exponentials null: they are computed again. weight_gradient and
// bias_gradient may be null. borders: where each of some leaves of users begins and the last one ends, null for one.
extern "C" void recsys_multinomial_backward_in_leaves(int64_t n, int64_t d, int64_t items, const float* hidden,
                                                      const float* weight, const float* bias, const int64_t* target_users,
                                                      const int64_t* target_items, int64_t entries, const float* scale,
                                                      const float* pulls, const float* normaliser, const float* maxima,
                                                      const uint16_t* exponentials, float* hidden_gradient,
                                                      float* weight_gradient, float* bias_gradient, const int64_t* borders,
                                                      int64_t leaves, int threads) {
    const Layer layer{{n, d, items, hidden, weight, bias, threads, borders, leaves}};
    const Targets targets{target_users, target_items, entries};
    const Panels by_user = layer.by_user(), by_dimension = exponentials ? Panels(0, 0) : layer.by_dimension();
    std::vector<std::unique_ptr<Backward>> parts(threads);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static, 1)
        for (int part = 0; part < threads; ++part) {
            auto& mine = parts[part] = std::make_unique<Backward>(layer, targets, pulls);
            auto factors = buffer<float>(layer.users);
            auto logits = buffer<float>(exponentials ? 0 : CHUNK * layer.users);
            auto again = buffer<uint16_t>(exponentials ? 0 : CHUNK * layer.users);
            auto rows = buffer<Pair>(CHUNK * layer.depth / 2);
            auto maximum = buffer<float>(layer.users), sums = buffer<float>(layer.users);
            const auto [first, last] = share(layer.chunks, part, threads);
            for (int64_t chunk = first; chunk < last; ++chunk) {
                const uint16_t* kept = again.get();
                if (exponentials) {
                    kept = exponentials + layer.start(chunk) * layer.users;
                } else {
                    layer.logits(chunk, by_dimension, rows.get(), logits.get(), maximum.get());
                    layer.exponentials(chunk, logits.get(), maximum.get(), again.get(), sums.get());
                }
                factors_of(n, layer.users, scale, maxima + chunk * layer.users, normaliser, factors.get());
                mine->of_logits(chunk, kept, factors.get(), bias_gradient);
                if (weight_gradient) mine->of_weights(chunk, by_user, weight_gradient);
                if ((chunk - first + 1) % GROUP == 0 || chunk + 1 == last) mine->of_hidden();
            }
        }
#pragma omp for schedule(static)
        for (int64_t first = 0; first < n; first += LANES)
            for (int64_t k = 0; k < d; ++k) {
                alignas(64) float totals[LANES];
                __m512 total = _mm512_setzero_ps();
                for (const auto& part : parts)
                    total = _mm512_add_ps(total, _mm512_load_ps(part->hidden_gradient.get() + k * layer.users + first));
                _mm512_store_ps(totals, total);
                for (int64_t u = first; u < std::min<int64_t>(first + LANES, n); ++u) hidden_gradient[u * d + k] = totals[u - first];
            }
    }
}

#endif

// Items a chunk, which maxima are kept for; 0 where this processor does not multiply bfloat16.
extern "C" int64_t recsys_multinomial_chunk() {
#ifdef __AVX512BF16__
    return CHUNK;
#else
    return 0;
#endif
}
