// The k largest inner products of each query, without ever writing a row of scores.
//
// A tile of scores, some items by some queries, is compared with what each query's k-th best is so far as soon as it is made;
// what is above goes to the query's candidates, which are cut back to k when their buffer is full. Items come in
// ascending order, so a later equal score never displaces an earlier one: ties go to the smaller row.
#include <bit>
#include <functional>
#include <limits>
#include <utility>

#include "best.h"
#include "tiles.h"

namespace {

constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr float ALL = std::numeric_limits<float>::infinity();

// The best of one query so far.
struct Best {
    Key* kept;
    int64_t size = 0;
    Excluded excluded{};

    void cut(int64_t k) {
        if (size <= k) return;
        std::nth_element(kept, kept + k - 1, kept + size, std::greater<>());
        size = k;
    }
};

constexpr int64_t BLOCK = 64;  // queries that are scored while an item's vector is at hand: one panel or several

// A block of queries: packed in panels, with what each has found.
struct Queries {
    int64_t d, k, room, width = 0;  // width: queries, rounded up to whole vectors
    Buffer<float> packed;
    Buffer<Key> keys;
    Best best[BLOCK];
    alignas(64) float border[BLOCK];  // a newcomer's score must exceed it

    Queries(int64_t d, int64_t k)
        : d(d), k(k), room(2 * k + 64), packed(buffer<float>(d * BLOCK)), keys(buffer<Key>(BLOCK * room)) {}

    const float* panel(int64_t column) const { return packed.get() + column * d; }

    void take(const float* queries, int64_t first, int64_t here, const int64_t* starts, const int32_t* excluded) {
        width = rounded_up(here, LANES);
        for (int64_t j = 0; j < width; ++j) {
            const int64_t column = j / PANEL * PANEL, lanes = vectors_in(column, width) * LANES;
            float* out = packed.get() + column * d + j - column;
            for (int64_t p = 0; p < d; ++p) out[p * lanes] = j < here ? queries[(first + j) * d + p] : 0.0f;
        }
        for (int64_t j = 0; j < BLOCK; ++j) {
            best[j] = {keys.get() + j * room};
            border[j] = j < here ? NONE : ALL;
            if (excluded && j < here)
                best[j].excluded = {excluded + starts[first + j], excluded + starts[first + j + 1]};
        }
    }
    void add(int64_t j, float score, int64_t row) {
        Best& mine = best[j];
        if (!(score > border[j]) || mine.excluded.holds(row)) return;
        mine.kept[mine.size++] = Key(score, static_cast<uint32_t>(row));
        if (mine.size < room) return;
        mine.cut(k);
        border[j] = mine.kept[k - 1].score();
    }
};

inline uint32_t above(const vec& scores, const vec& border) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)scores, (__m512)border, _CMP_GT_OQ);
#elif defined(__AVX2__)
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)scores, (__m256)border, _CMP_GT_OQ));
#else
    uint32_t mask = 0;
    for (int lane = 0; lane < LANES; ++lane) mask |= static_cast<uint32_t>(scores[lane] > border[lane]) << lane;
    return mask;
#endif
}

// Scores of R items and the V vectors of queries from `column` on, and which of them are above their query's border.
template <int R, int V>
inline void score_tile(const float* const* items, const Queries& queries, int64_t column, vec (&sums)[ROWS][VECTORS],
                       uint32_t (&found)[ROWS][VECTORS]) {
    const int64_t d = queries.d;
    const float* panel = queries.panel(column);
    vec c[R][V] = {};
    for (int64_t start = 0; start < d; start += 16) {
        for (int r = 0; r < R; ++r) __builtin_prefetch(items[r] + R * d + start);  // a cache line of the next items
        for (int64_t p = start; p < std::min(start + 16, d); ++p, panel += V * LANES) {
            vec b[V];
            for (int v = 0; v < V; ++v) b[v] = *reinterpret_cast<const vec*>(panel + v * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < R; ++r) {
                const vec a = everywhere(items[r][p]);
                if constexpr (R * V == 1) c[r][0] = add_product(c[r][0], a, b[0]);  // GCC would round twice on AMD
                else
                    for (int v = 0; v < V; ++v) c[r][v] += a * b[v];
            }
        }
    }
    for (int v = 0; v < V; ++v) {
        const vec border = *reinterpret_cast<const vec*>(queries.border + column + v * LANES);
        for (int r = 0; r < R; ++r) {
            sums[r][v] = c[r][v];
            found[r][v] = above(c[r][v], border);
        }
    }
}

// Scores `count` items for all queries of a block, and takes what is good enough.
inline void score_items(const float* const* items, const int64_t* rows, int count, Queries& queries) {
    for (int64_t column = 0; column < queries.width; column += PANEL) {
        const int vectors = vectors_in(column, queries.width);
        vec scores[ROWS][VECTORS];
        uint32_t found[ROWS][VECTORS];
        with_tile(count, vectors, [&]<int R, int V>() { score_tile<R, V>(items, queries, column, scores, found); });
        for (int r = 0; r < count; ++r)
            for (int v = 0; v < vectors; ++v)
                for (uint32_t mask = found[r][v]; mask; mask &= mask - 1) {
                    const int lane = std::countr_zero(mask);
                    queries.add(column + v * LANES + lane, scores[r][v][lane], rows[r]);
                }
    }
}

}  // namespace

// queries (n, d), vectors (n_items, d); `wanted` ascending, the n_wanted rows that may be returned, or null for all;
// excluded rows of query i: excluded[starts[i]] .. excluded[starts[i + 1] - 1], ascending, or null. Writes (n, k) rows and
// scores, filled up with -1 and -inf.
extern "C" void recsys_top_k(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                             const int64_t* wanted, int64_t n_wanted, const int64_t* starts, const int32_t* excluded,
                             int64_t k, int64_t* out_rows, float* out_scores, int threads) {
    const int64_t count = wanted ? n_wanted : n_items, blocks = (n + BLOCK - 1) / BLOCK;
    const int64_t parts = std::max<int64_t>(1, threads / std::max<int64_t>(1, blocks));  // of the items, for few queries
    auto found = buffer<Key>(n * parts * k);
    auto sizes = buffer<int64_t>(n * parts);
#pragma omp parallel num_threads(threads)
    {
        Queries block(d, k);
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < blocks * parts; ++task) {
            const int64_t first = task / parts * BLOCK, part = task % parts, here = std::min(BLOCK, n - first);
            const auto [begin, end] = share(count, part, parts);
            block.take(queries, first, here, starts, excluded);
            for (int64_t at = begin; at < end; at += ROWS) {
                const int n_rows = static_cast<int>(std::min<int64_t>(ROWS, end - at));
                const float* items[ROWS];
                int64_t rows[ROWS];
                for (int r = 0; r < n_rows; ++r) {
                    rows[r] = wanted ? wanted[at + r] : at + r;
                    items[r] = vectors + rows[r] * d;
                }
                score_items(items, rows, n_rows, block);
            }
            for (int64_t j = 0; j < here; ++j) {
                const int64_t place = (first + j) * parts + part;
                block.best[j].cut(k);
                sizes[place] = block.best[j].size;
                std::copy_n(block.best[j].kept, sizes[place], found.get() + place * k);
            }
        }
#pragma omp for schedule(static)
        for (int64_t query = 0; query < n; ++query) {
            Best all{found.get() + query * parts * k};
            for (int64_t part = 0; part < parts; ++part) {
                std::copy_n(found.get() + (query * parts + part) * k, sizes[query * parts + part], all.kept + all.size);
                all.size += sizes[query * parts + part];
            }
            all.cut(k);
            std::sort(all.kept, all.kept + all.size, std::greater<>());
            for (int64_t i = 0; i < k; ++i) {
                out_rows[query * k + i] = i < all.size ? all.kept[i].row() : -1;
                out_scores[query * k + i] = i < all.size ? all.kept[i].score() : NONE;
            }
        }
    }
}
