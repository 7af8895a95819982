// The multinomial likelihood of multinomial.cpp with tiles of AMX: strips of 32 items times strips of 32 users (amx.h).
//
// A strip of users is multiplied with a whole chunk of items before the next. Its exponentials are computed while the tiles
// are busy with that next one, by units that have nothing else to do; and memory is asked for the weights that come next.
#include <utility>
#include <vector>

#ifdef __AMX_BF16__

#include "multinomial_amx.h"

namespace {

constexpr int64_t GROUP = 2;  // chunks after which the gradient of the hidden vectors is added to

// The way back, of one thread.
struct Backward {
    const Layer& layer;
    const Targets& targets;
    const float* pulls;  // what each target takes off the gradient
    Buffer<float> hidden_gradient = buffer<float>(layer.depth * layer.users);  // blocks of 32 users, by strips of dimensions
    Buffer<float> row = buffer<float>(layer.users);
    Strips gradient{1, layer.users / STRIP};                             // of the logits of a strip of items
    Strips by_item{layer.users / STRIP, GROUP * STRIPS};                 // the same of a group of chunks, users its rows
    Strips weights{layer.depth / STRIP, GROUP * STRIPS};                 // of a group of chunks, summed over items
    Buffer<float> block = buffer<float>(17 * BLOCK_SUMS);
    int64_t strips = 0;  // of items, in the group so far
    Ahead weights_ahead, gradient_ahead;
    const int64_t lines = STRIP * layer.d / LANES / (layer.depth / STRIP * (layer.users / STRIP)) + 1;  // a step

    Backward(const Layer& layer, const Targets& targets, const float* pulls)
        : layer(layer), targets(targets), pulls(pulls) {
        std::fill_n(hidden_gradient.get(), layer.depth * layer.users, 0.0f);
    }

    // Takes a chunk's strips of items one after the other.
    void of_chunk(int64_t chunk, const uint16_t* exponentials, const float* factors, const Strips& by_user,
                  float* weight_gradient, float* bias_gradient) {
        for (int64_t first = 0; first < layer.size(chunk); first += STRIP, ++strips) {
            of_logits(chunk, first, exponentials, factors, bias_gradient);
            turn();
            const int64_t item = layer.start(chunk) + first;
            pack(item);
            if (!weight_gradient) continue;
            weights_ahead = layer.ahead(layer.weight, item + STRIP, STRIP);
            gradient_ahead = layer.ahead(weight_gradient, item + STRIP, STRIP);
            for (int64_t k = 0; k < layer.depth / STRIP; ++k) of_weights(item, k, by_user, weight_gradient);
        }
    }
    // Adds what the chunks since the last call give.
    void of_hidden() {
        const int64_t blocks = layer.users / STRIP * (layer.depth / STRIP);
        for (int64_t block = 0; block < blocks; ++block) {
            float* sums = hidden_gradient.get() + block * BLOCK_SUMS;
            Ahead next{reinterpret_cast<const char*>(sums + BLOCK_SUMS), block + 1 < blocks ? BLOCK_SUMS * 4 : 0};
            load_sums(sums);
            multiply_strips(by_item.strip(block / (layer.depth / STRIP)), weights.strip(block % (layer.depth / STRIP)), strips,
                            [&] { next.advance(BLOCK_SUMS / LANES / strips + 1); });
            store_sums(sums);
        }
        strips = 0;
    }
    // Sums of 32 users and 32 dimensions, tile by tile.
    float* sums_of(int64_t user, int64_t k) const {
        return hidden_gradient.get() + (user * (layer.depth / STRIP) + k) * BLOCK_SUMS;
    }

   private:
    // Gradient of the logits of a strip of items, from their exponentials and each user's factor.
    void of_logits(int64_t chunk, int64_t first, const uint16_t* exponentials, const float* factors, float* bias_gradient) {
        const int64_t size = layer.size(chunk);
        int64_t entry = targets.first(layer.start(chunk) + first);
        for (int64_t i = 0; i < STRIP; ++i) {
            const int64_t item = layer.start(chunk) + first + i;
            if (item >= layer.items) {
                for (int64_t u = 0; u < layer.users; u += STRIP)
                    _mm512_store_si512(gradient.line(i, u / STRIP), _mm512_setzero_si512());
                continue;
            }
            float* out = row.get();
            for (int64_t u = 0; u < layer.users; u += STRIP) {
                const __m512i line = _mm512_loadu_si512(exponentials + u * size + (first + i) * STRIP);
                const __m512 low = from_bf16(_mm512_castsi512_si256(line)), high = from_bf16(_mm512_extracti64x4_epi64(line, 1));
                _mm512_store_ps(out + u, _mm512_mul_ps(low, _mm512_load_ps(factors + u)));
                _mm512_store_ps(out + u + LANES, _mm512_mul_ps(high, _mm512_load_ps(factors + u + LANES)));
            }
            for (; entry < targets.count && targets.items[entry] == item; ++entry)
                out[targets.users[entry]] -= pulls[entry];
            if (bias_gradient) bias_gradient[item] = layer.sum(out);
            for (int64_t u = 0; u < layer.users; u += STRIP)
                _mm512_store_si512(gradient.line(i, u / STRIP), in_line(_mm512_load_ps(out + u), _mm512_load_ps(out + u + LANES)));
        }
    }
    // Writes the gradient of the logits once more, users its rows.
    void turn() {
        for (int64_t user = 0; user < layer.users; user += 8) {
            __m512i z[8], t[8];
            for (int i = 0; i < 8; ++i) {  // items 0 to 7; those of four times as many stand in the four lanes
                const auto part = [&](int64_t item) {
                    return _mm_load_si128((const __m128i*)(gradient.line(item, user / STRIP) + user % STRIP));
                };
                z[i] = _mm512_castsi128_si512(part(i));
                z[i] = _mm512_inserti32x4(z[i], part(i + 8), 1);
                z[i] = _mm512_inserti32x4(z[i], part(i + 16), 2);
                z[i] = _mm512_inserti32x4(z[i], part(i + 24), 3);
            }
            for (int i = 0; i < 8; i += 2) {
                t[i] = _mm512_unpacklo_epi16(z[i], z[i + 1]);
                t[i + 1] = _mm512_unpackhi_epi16(z[i], z[i + 1]);
            }
            for (int i = 0; i < 2; ++i) {
                z[2 * i] = _mm512_unpacklo_epi32(t[i], t[i + 2]);
                z[2 * i + 1] = _mm512_unpackhi_epi32(t[i], t[i + 2]);
                z[2 * i + 4] = _mm512_unpacklo_epi32(t[i + 4], t[i + 6]);
                z[2 * i + 5] = _mm512_unpackhi_epi32(t[i + 4], t[i + 6]);
            }
            for (int i = 0; i < 4; ++i) {
                _mm512_store_si512(by_item.line(user + 2 * i, strips), _mm512_unpacklo_epi64(z[i], z[i + 4]));
                _mm512_store_si512(by_item.line(user + 2 * i + 1, strips), _mm512_unpackhi_epi64(z[i], z[i + 4]));
            }
        }
    }
    // Weights of a strip of items, in pairs of them.
    void pack(int64_t item) {
        for (int64_t pair = 0; pair < STRIP / 2; ++pair)
            for (int64_t k = 0; k < layer.depth; k += LANES)
                _mm512_store_si512(weights.line_of_pair(strips * STRIP / 2 + pair, k),
                                   in_pairs(layer.weight_at(item + 2 * pair, k), layer.weight_at(item + 2 * pair + 1, k)));
    }
    void of_weights(int64_t item, int64_t k, const Strips& by_user, float* weight_gradient) {
        float* out = weight_gradient + item * layer.d + k * STRIP;
        const bool is_whole = item + STRIP <= layer.items && (k + 1) * STRIP <= layer.d;
        if (layer.leaves == 1) {
            clear_sums();
            multiply_strips(gradient.strip(0), by_user.strip(k), gradient.steps, [&] { look_ahead(); });
            if (is_whole) return store_rows(out, layer.d);
            store_rows(block.get(), STRIP);
        } else {
            of_leaves(by_user.strip(k));
        }
        for (int64_t i = 0; i < std::min(STRIP, layer.items - item); ++i)
            for (int64_t v = 0; v < STRIP; v += LANES)
                _mm512_mask_storeu_ps(out + i * layer.d + v, lanes_before(layer.d, k * STRIP + v),
                                      _mm512_load_ps(block.get() + i * STRIP + v));
    }
    void look_ahead() {
        weights_ahead.advance(lines);
        gradient_ahead.advance<true>(lines);
    }
    // A block of the weights' gradient, the sums of leaves added up in a binary tree.
    void of_leaves(const uint16_t* by_user) {
        int64_t count = 0, top = 0;
        for (int64_t leaf = 0; leaf < layer.leaves; ++leaf) {
            const int64_t first = layer.first(leaf) / STRIP * 2 * TILE;
            clear_sums();
            multiply_strips(gradient.strip(0) + first, by_user + first, (layer.last(leaf) - layer.first(leaf)) / STRIP,
                            [&] { look_ahead(); });
            store_rows(block.get() + top++ * BLOCK_SUMS, STRIP);
            for (int64_t done = count++; done & 1; done >>= 1, --top) {
                float *left = block.get() + (top - 2) * BLOCK_SUMS, *right = left + BLOCK_SUMS;
                for (int64_t i = 0; i < BLOCK_SUMS; i += LANES)
                    _mm512_store_ps(left + i, _mm512_add_ps(_mm512_load_ps(left + i), _mm512_load_ps(right + i)));
            }
        }
    }
};

}  // namespace

// As in multinomial.cpp, but users are padded to a multiple of 32, and the layout of the exponentials is another one.
extern "C" void recsys_multinomial_forward(int64_t n, int64_t d, int64_t items, const float* hidden, const float* weight,
                                           const float* bias, const int64_t* target_users, const int64_t* target_items,
                                           int64_t entries, float* target_logits, float* normaliser, float* maxima,
                                           uint16_t* exponentials, int threads) {
    const Layer layer{{n, d, items, hidden, weight, bias, threads}};
    const Targets targets{target_users, target_items, entries};
    const Strips packed = layer.by_dimension();
    auto sums = buffer<float>(layer.chunks * layer.users);
#pragma omp parallel num_threads(threads)
    {
        const TilesInUse tiles;
        Forward own{layer, packed};
        auto unwanted = buffer<uint16_t>(exponentials ? 0 : CHUNK * layer.users);
#pragma omp for schedule(static)
        for (int64_t chunk = 0; chunk < layer.chunks; ++chunk) {
            const int64_t start = layer.start(chunk), first = targets.first(start), end = targets.first(start + layer.size(chunk));
            own.of_chunk(chunk, exponentials ? exponentials + start * layer.users : unwanted.get(),
                         maxima + chunk * layer.users, sums.get() + chunk * layer.users,
                         [&](int64_t user, const float* logits) {
                             for (int64_t e = first; e < end; ++e)
                                 if (target_users[e] / STRIP == user / STRIP)
                                     target_logits[e] = logits[(target_items[e] - start) * STRIP + target_users[e] % STRIP];
                         });
        }
    }
    normalise(n, layer.users, layer.chunks, maxima, sums.get(), normaliser, threads);
}

// Likewise.
extern "C" void recsys_multinomial_backward_in_leaves(int64_t n, int64_t d, int64_t items, const float* hidden,
                                                      const float* weight, const float* bias, const int64_t* target_users,
                                                      const int64_t* target_items, int64_t entries, const float* scale,
                                                      const float* pulls, const float* normaliser, const float* maxima,
                                                      const uint16_t* exponentials, float* hidden_gradient,
                                                      float* weight_gradient, float* bias_gradient, const int64_t* borders,
                                                      int64_t leaves, int threads) {
    const Layer layer{{n, d, items, hidden, weight, bias, threads, borders, leaves}};
    const Targets targets{target_users, target_items, entries};
    const Strips by_user = layer.by_user(), by_dimension = exponentials ? Strips(0, 0) : layer.by_dimension();
    std::vector<std::unique_ptr<Backward>> parts(threads);
#pragma omp parallel num_threads(threads)
    {
        const TilesInUse tiles;
#pragma omp for schedule(static, 1)
        for (int part = 0; part < threads; ++part) {
            std::unique_ptr<Forward> again(exponentials ? nullptr : new Forward{layer, by_dimension});
            auto& mine = parts[part] = std::make_unique<Backward>(layer, targets, pulls);
            auto factors = buffer<float>(layer.users), maximum = buffer<float>(layer.users), sums = buffer<float>(layer.users);
            auto computed = buffer<uint16_t>(exponentials ? 0 : CHUNK * layer.users);
            const auto [first, last] = share(layer.chunks, part, threads);
            for (int64_t chunk = first; chunk < last; ++chunk) {
                if (again) again->of_chunk(chunk, computed.get(), maximum.get(), sums.get(), [](int64_t, const float*) {});
                const uint16_t* kept = again ? computed.get() : exponentials + layer.start(chunk) * layer.users;
                factors_of(n, layer.users, scale, maxima + chunk * layer.users, normaliser, factors.get());
                mine->of_chunk(chunk, kept, factors.get(), by_user, weight_gradient, bias_gradient);
                if ((chunk - first + 1) % GROUP == 0 || chunk + 1 == last) mine->of_hidden();
            }
        }
#pragma omp for schedule(static)
        for (int64_t user = 0; user < n; ++user)
            for (int64_t k = 0; k < d; k += LANES) {
                __m512 total = _mm512_setzero_ps();
                for (const auto& part : parts)
                    total = _mm512_add_ps(total, _mm512_load_ps(part->sums_of(user / STRIP, k / STRIP) +
                                                               (user % STRIP / 16 * 2 + k % STRIP / 16) * TILE_SUMS + user % 16 * 16));
                _mm512_mask_storeu_ps(hidden_gradient + user * d + k, lanes_before(d, k), total);
            }
    }
}

// Where it is, products are those of whole tiles.
extern "C" int64_t recsys_multinomial_tiles() { return STRIP; }

#endif
