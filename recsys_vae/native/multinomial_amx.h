// What both passes of multinomial_amx.cpp need, and the way there, which the way back may have to repeat.
#pragma once

#include "amx.h"
#include "multinomial.h"

constexpr int64_t STRIPS = CHUNK / STRIP;

inline __m512i in_pairs(__m512 first, __m512 second) {
    return _mm512_or_si512(widened(to_bf16(first)), _mm512_slli_epi32(widened(to_bf16(second)), 16));
}
inline __m512i in_line(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// Memory that is needed soon, asked for some lines at a time.
struct Ahead {
    const char* at = nullptr;
    int64_t bytes = 0;

    template <bool FOR_WRITING = false>
    void advance(int64_t lines) {
        for (; lines && bytes > 0; --lines, at += 64, bytes -= 64) {
            if constexpr (FOR_WRITING)
                __builtin_prefetch(at, 1);
            else
                _mm_prefetch(at, _MM_HINT_T1);
        }
    }
};

struct Layer : LayerOf<STRIP> {
    // The hidden vectors as a right side, summed over their dimension.
    Strips by_dimension() const {
        Strips packed(users / STRIP, depth / STRIP);
#pragma omp parallel for num_threads(threads)
        for (int64_t user = 0; user < users; ++user)
            for (int64_t k = 0; k < depth; k += STRIP) {
                alignas(64) uint32_t pairs[LANES];
                _mm512_store_si512(pairs, in_line(hidden_at(user, k), hidden_at(user, k + LANES)));
                for (int64_t p = 0; p < LANES; ++p) packed.line_of_pair(k / 2 + p, user)[user % LANES] = pairs[p];
            }
        return packed;
    }
    // The same, summed over users.
    Strips by_user() const {
        Strips packed(depth / STRIP, users / STRIP);
#pragma omp parallel for num_threads(threads)
        for (int64_t user = 0; user < users; user += 2)
            for (int64_t k = 0; k < depth; k += LANES)
                _mm512_store_si512(packed.line_of_pair(user / 2, k), in_pairs(hidden_at(user, k), hidden_at(user + 1, k)));
        return packed;
    }

    // Rows of some items, of the weights or their gradient.
    Ahead ahead(const float* matrix, int64_t item, int64_t count) const {
        count = std::max<int64_t>(0, std::min(items - item, count));
        return {reinterpret_cast<const char*>(matrix + item * d), count * d * 4};
    }
};

// Logits of a strip of users and a chunk of items, and their exponentials, in the making.
struct Exponentials {
    const float* logits = nullptr;  // (items, 32)
    __m512 highest[2];
    uint16_t* out = nullptr;
    int64_t items = 0, done = 0;
    __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    void advance(int64_t count) {
        for (const int64_t end = std::min(items, done + count); done < end; ++done) {
            const __m512 low = exp_of(_mm512_sub_ps(_mm512_load_ps(logits + done * STRIP), highest[0]));
            const __m512 high = exp_of(_mm512_sub_ps(_mm512_load_ps(logits + done * STRIP + LANES), highest[1]));
            sums[0] = _mm512_add_ps(sums[0], low);
            sums[1] = _mm512_add_ps(sums[1], high);
            _mm512_storeu_si512(out + done * STRIP, in_line(low, high));
        }
    }
};

// The way there, of one thread.
struct Forward {
    const Layer& layer;
    const Strips& packed;  // by dimension
    const int64_t steps = packed.steps;
    Strips weights{STRIPS, steps};
    Buffer<float> biases = buffer<float>(CHUNK * LANES);      // of each item, as often as a tile has columns
    Buffer<float> logits = buffer<float>(2 * CHUNK * STRIP);  // of two strips of users

    // Exponentials of a chunk, relative to each user's maximum, strip by strip of users (items, 32); and their sums by user.
    // `look` is called with the first user and the logits (items, 32) of each strip.
    template <class F>
    void of_chunk(int64_t chunk, uint16_t* out, float* maxima, float* sums, F&& look) {
        const int64_t size = layer.size(chunk), strips = (size + STRIP - 1) / STRIP, rate = (size - 1) / (strips * steps) + 1;
        pack(chunk, strips * STRIP);
        Ahead next = layer.ahead(layer.weight, layer.start(chunk + 1), CHUNK);
        const int64_t lines = CHUNK * layer.d / LANES / (strips * steps * (layer.users / STRIP)) + 1;  // a step
        Exponentials before;
        float* sums_before = nullptr;
        const auto finish = [&] {
            before.advance(size);
            if (sums_before) store(sums_before, before.sums);
        };
        for (int64_t user = 0; user < layer.users; user += STRIP) {
            float* own = logits.get() + user / STRIP % 2 * CHUNK * STRIP;
            __m512 highest[2] = {_mm512_set1_ps(-INFINITY), _mm512_set1_ps(-INFINITY)};
            for (int64_t strip = 0; strip < strips; ++strip) {
                load_biases(strip);
                multiply_strips(weights.strip(strip), packed.strip(user / STRIP), steps, [&] {
                    next.advance(lines);
                    before.advance(rate);
                });
                store_rows(own + strip * STRIP * STRIP, STRIP);
                for (int64_t item = strip * STRIP; item < std::min(size, (strip + 1) * STRIP); ++item)
                    for (int half = 0; half < 2; ++half)
                        highest[half] = _mm512_max_ps(highest[half], _mm512_load_ps(own + item * STRIP + half * LANES));
            }
            finish();
            look(user, own);
            store(maxima + user, highest);
            before = {own, {highest[0], highest[1]}, out + user * size, size};
            sums_before = sums + user;
        }
        finish();
    }

  private:
    static void store(float* to, const __m512 (&two)[2]) {
        _mm512_storeu_ps(to, two[0]);
        _mm512_storeu_ps(to + LANES, two[1]);
    }
    void pack(int64_t chunk, int64_t items) {
        for (int64_t item = 0; item < items; ++item) {
            const int64_t row = layer.start(chunk) + item;
            _mm512_store_ps(biases.get() + item * LANES, _mm512_set1_ps(row < layer.items ? layer.bias[row] : 0.0f));
            for (int64_t k = 0; k < layer.depth; k += STRIP)
                _mm512_store_si512(weights.line(item, k / STRIP),
                                   in_line(layer.weight_at(row, k), layer.weight_at(row, k + LANES)));
        }
    }
    void load_biases(int64_t strip) {
        const float* from = biases.get() + strip * STRIP * LANES;
        asm volatile("" ::: "memory");
        _tile_loadd(0, from, 64);
        _tile_loadd(1, from, 64);
        _tile_loadd(2, from + TILE_SUMS, 64);
        _tile_loadd(3, from + TILE_SUMS, 64);
    }
};
