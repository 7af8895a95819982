// The k largest inner products of each query, without ever writing a row of scores.
//
// A tile of scores, six items by 64 queries, is compared with what each query's k-th best is so far as soon as it is made;
// what is above goes to the query's candidates, which are cut back to k when their buffer is full. Items come in
// ascending order, so a later equal score never displaces an earlier one: ties go to the smaller row.
#include <bit>
#include <functional>
#include <limits>
#include <utility>

#include "tiles.h"

namespace {

constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr float ALL = std::numeric_limits<float>::infinity();

// A score and its row as one number: higher is better, among equal scores the smaller row.
struct Key {
    uint64_t bits;
    Key() = default;
    Key(float score, uint32_t row) {
        const uint32_t sign = 1u << 31, raw = std::bit_cast<uint32_t>(score + 0.0f);  // -0 and 0 are equal
        bits = static_cast<uint64_t>(raw & sign ? ~raw : raw | sign) << 32 | static_cast<uint32_t>(~row);
    }
    float score() const {
        const uint32_t sign = 1u << 31, raw = static_cast<uint32_t>(bits >> 32);
        return std::bit_cast<float>(raw & sign ? raw & ~sign : ~raw);
    }
    int64_t row() const { return static_cast<uint32_t>(~bits); }
    bool operator>(const Key& other) const { return bits > other.bits; }
};

// The best of one query so far.
struct Best {
    Key* kept;
    int64_t size = 0;
    const int32_t* excluded = nullptr;  // ascending rows that are left out: those not passed yet
    const int32_t* excluded_end = nullptr;

    bool is_excluded(int64_t row) {
        while (excluded != excluded_end && *excluded < row) ++excluded;
        return excluded != excluded_end && *excluded == row;
    }
    void cut(int64_t k) {
        std::nth_element(kept, kept + k - 1, kept + size, std::greater<>());
        size = k;
    }
    void finish(int64_t k, int64_t* rows, float* scores) {
        if (size > k) cut(k);
        std::sort(kept, kept + size, std::greater<>());
        for (int64_t i = 0; i < k; ++i) {
            rows[i] = i < size ? kept[i].row() : -1;
            scores[i] = i < size ? kept[i].score() : NONE;
        }
    }
};

// A panel of queries: packed side by side, with what each has found.
struct Queries {
    Buffer<float> packed;
    Buffer<Key> keys;
    Best best[PANEL];
    alignas(64) float border[PANEL];  // a newcomer's score must exceed it
    int64_t k, room;

    Queries(int64_t d, int64_t k) : packed(buffer<float>(d * PANEL)), k(k), room(2 * k + 64) {
        keys = buffer<Key>(PANEL * room);
    }
    // Takes `here` of the queries from `first` on; returns the number of vectors they fill.
    int take(const float* queries, int64_t first, int64_t here, int64_t d, const int64_t* starts, const int32_t* excluded) {
        const int64_t width = rounded_up(here, LANES);
        for (int64_t p = 0; p < d; ++p)
            for (int64_t j = 0; j < width; ++j) packed[p * width + j] = j < here ? queries[(first + j) * d + p] : 0.0f;
        for (int64_t j = 0; j < PANEL; ++j) {
            best[j] = {keys.get() + j * room};
            border[j] = j < here ? NONE : ALL;
            if (!excluded || j >= here) continue;
            best[j].excluded = excluded + starts[first + j];
            best[j].excluded_end = excluded + starts[first + j + 1];
        }
        return static_cast<int>(width / LANES);
    }
    void add(int64_t j, float score, int64_t row) {
        Best& mine = best[j];
        if (!(score > border[j]) || mine.is_excluded(row)) return;
        mine.kept[mine.size++] = Key(score, static_cast<uint32_t>(row));
        if (mine.size < room) return;
        mine.cut(k);
        border[j] = mine.kept[k - 1].score();
    }
};

inline uint32_t above(vec scores, vec border) {
#ifdef __AVX512F__
    return _mm512_cmp_ps_mask((__m512)scores, (__m512)border, _CMP_GT_OQ);
#else
    uint32_t mask = 0;
    for (int lane = 0; lane < LANES; ++lane) mask |= static_cast<uint32_t>(scores[lane] > border[lane]) << lane;
    return mask;
#endif
}

// Scores of R items and V vectors of queries, and which of them are above their query's border.
template <int R, int V>
inline void score_tile(const float* const* items, const Queries& queries, int64_t d, vec (&sums)[ROWS][VECTORS],
                       uint32_t (&found)[ROWS][VECTORS]) {
    vec c[R][V] = {};
    const float* panel = queries.packed.get();
    for (int64_t start = 0; start < d; start += LANES) {
        for (int r = 0; r < R; ++r) __builtin_prefetch(items[r] + R * d + start);
        for (int64_t p = start; p < std::min(start + LANES, d); ++p, panel += V * LANES) {
            vec b[V];
            for (int v = 0; v < V; ++v) b[v] = *reinterpret_cast<const vec*>(panel + v * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < R; ++r) {
                const vec a = everywhere(items[r][p]);
                for (int v = 0; v < V; ++v) c[r][v] += a * b[v];
            }
        }
    }
    for (int v = 0; v < V; ++v) {
        const vec border = *reinterpret_cast<const vec*>(queries.border + v * LANES);
        for (int r = 0; r < R; ++r) {
            sums[r][v] = c[r][v];
            found[r][v] = above(c[r][v], border);
        }
    }
}

}  // namespace

// queries (n, d), vectors (n_items, d); `rows` ascending, the n_rows items that may be returned, or null for all;
// excluded rows of query i: excluded[starts[i]] .. excluded[starts[i + 1] - 1], ascending, or null. Writes (n, k) rows and
// scores, filled up with -1 and -inf.
extern "C" void recsys_top_k(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                             const int64_t* rows, int64_t n_rows, const int64_t* starts, const int32_t* excluded, int64_t k,
                             int64_t* out_rows, float* out_scores, int threads) {
    const int64_t count = rows ? n_rows : n_items;
#pragma omp parallel num_threads(threads)
    {
        Queries panel(d, k);
#pragma omp for schedule(dynamic, 1)
        for (int64_t first = 0; first < n; first += PANEL) {
            const int64_t here = std::min<int64_t>(PANEL, n - first);
            const int n_vectors = panel.take(queries, first, here, d, starts, excluded);
            for (int64_t at = 0; at < count; at += ROWS) {
                const int n_items_here = static_cast<int>(std::min<int64_t>(ROWS, count - at));
                const float* items[ROWS];
                for (int r = 0; r < n_items_here; ++r) items[r] = vectors + (rows ? rows[at + r] : at + r) * d;
                vec scores[ROWS][VECTORS];
                uint32_t found[ROWS][VECTORS];
                with_tile(n_items_here, n_vectors,
                          [&]<int R, int V>() { score_tile<R, V>(items, panel, d, scores, found); });
                for (int r = 0; r < n_items_here; ++r)
                    for (int v = 0; v < n_vectors; ++v)
                        for (uint32_t mask = found[r][v]; mask; mask &= mask - 1) {
                            const int lane = std::countr_zero(mask);
                            panel.add(v * LANES + lane, scores[r][v][lane], rows ? rows[at + r] : at + r);
                        }
            }
            for (int64_t j = 0; j < here; ++j)
                panel.best[j].finish(k, out_rows + (first + j) * k, out_scores + (first + j) * k);
        }
    }
}
