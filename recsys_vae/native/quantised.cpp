// The k largest inner products, found among few: scores in 8-bit integers with bounds on their error say which items can
// be among the best; these alone are scored in float32, by recsys_top_k, so the answer is that of a scan of all.
//
//     v = s a + r,   q = t b + e   (a, b integers in -127..127)   q.v = t s a.b + e.(s a) + q.r
//
// so the integer score t s a.b is off by at most |e| |s a| + |q| |r| (Cauchy-Schwarz). Whoever's upper bound is below the
// k-th largest lower bound is not among the k best. The last dimension, which holds the bias of a decoder and so a number
// of another size than the others, stays float32. What float32 itself rounds, of all dimensions, is added.
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "best.h"
#include "tiles.h"

extern "C" void recsys_top_k(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                             const int64_t* wanted, int64_t n_wanted, const int64_t* starts, const int32_t* excluded,
                             int64_t k, int64_t* out_rows, float* out_scores, int threads);

namespace {

// Of each item: scale s, |s a|, |r|, the last dimension, and what float32 rounds for a query of norm 1.
constexpr int FACTS = 5;
constexpr float LARGEST_NORM = 1e15f;  // above it bounds could overflow
// Bytes of a vector's codes: its dimensions but the last, in groups of four.
inline int64_t code_bytes(int64_t d) { return rounded_up(d - 1, 4); }

// What is lost of |x| by writing it as scale times integers; `code` gets the integers.
template <class Code>
inline void quantise(const float* x, int64_t d, Code&& code, float& scale, float& kept, float& lost) {
    float largest = 0.0f;
    for (int64_t p = 0; p < d; ++p) largest = std::max(largest, std::abs(x[p]));
    scale = largest / 127.0f;
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    double kept_squares = 0.0, lost_squares = 0.0;
    for (int64_t p = 0; p < d; ++p) {
        const float rounded = std::min(127.0f, std::max(-127.0f, std::nearbyint(x[p] * inverse)));
        const double there = double(scale) * rounded, rest = x[p] - there;
        code(p, static_cast<int>(rounded));
        kept_squares += there * there;
        lost_squares += rest * rest;
    }
    kept = static_cast<float>(std::sqrt(kept_squares) * (1 + 1e-6));
    lost = static_cast<float>(std::sqrt(lost_squares) * (1 + 1e-6));
}

inline float norm(const float* x, int64_t d) {
    double squares = 0.0;
    for (int64_t p = 0; p < d; ++p) squares += double(x[p]) * x[p];
    return static_cast<float>(std::sqrt(squares) * (1 + 1e-6));
}

#if defined(__AVX512VNNI__) && defined(__AVX512F__)

struct Candidate {
    float upper;
    int32_t row;
};

// What may still be among the best of one query.
struct Candidates {
    std::vector<Candidate> kept;
    std::vector<float> best;  // the k largest lower bounds, the smallest on top of the heap
    Excluded excluded;
    int64_t room = 0;
    bool are_too_many = false;

    void reset(int64_t k) {
        kept.clear();
        best.clear();
        best.reserve(k);
        excluded = {};
        room = 4 * k + 128;
        are_too_many = false;
    }
    // Count a lower bound; returns the k-th largest so far, -inf while there are fewer.
    float note(float lower, int64_t k) {
        if (static_cast<int64_t>(best.size()) < k) {
            best.push_back(lower);
            std::push_heap(best.begin(), best.end(), std::greater<>());
        } else if (lower > best.front()) {
            replace_top(lower);
        }
        return static_cast<int64_t>(best.size()) < k ? -std::numeric_limits<float>::infinity() : best.front();
    }
    // Drop who cannot be among the k best any more.
    void cut(float border) {
        std::erase_if(kept, [&](const Candidate& one) { return one.upper < border; });
    }

  private:
    void replace_top(float lower) {
        const size_t n = best.size();
        size_t at = 0;
        for (size_t child; (child = 2 * at + 1) < n; at = child) {
            if (child + 1 < n && best[child + 1] < best[child]) ++child;
            if (best[child] >= lower) break;
            best[at] = best[child];
        }
        best[at] = lower;
    }
};

constexpr int64_t BLOCK = 64;
static_assert(BLOCK == PANEL, "one panel holds a block");

// A block of queries in 8 bits, with what each has found.
struct Block {
    int64_t d, k, most, groups, vectors = 0;
    Buffer<int8_t> packed;  // group after group of four dimensions, in each the queries
    alignas(64) int32_t offsets[BLOCK];  // items are coded from 0 on: minus 128 times the sum of a query's integers
    alignas(64) float scales[BLOCK], lost[BLOCK], heads[BLOCK], norms[BLOCK], last[BLOCK], border[BLOCK];
    Candidates found[BLOCK];

    Block(int64_t d, int64_t k, int64_t most)
        : d(d), k(k), most(most), groups(code_bytes(d) / 4), packed(buffer<int8_t>(code_bytes(d) * BLOCK)) {}

    void take(const float* queries, int64_t here, const int64_t* starts, const int32_t* excluded) {
        vectors = rounded_up(here, LANES) / LANES;
        std::fill_n(packed.get(), groups * 4 * BLOCK, int8_t{0});
        for (int64_t j = 0; j < BLOCK; ++j) {
            found[j].reset(k);
            offsets[j] = 0;
            scales[j] = lost[j] = heads[j] = norms[j] = last[j] = 0.0f;
            border[j] = std::numeric_limits<float>::infinity();
            if (j >= here) continue;
            const float* query = queries + j * d;
            float kept;
            quantise(query, d - 1, [&](int64_t p, int code) {
                packed[(p / 4 * vectors * LANES + j) * 4 + p % 4] = static_cast<int8_t>(code);
                offsets[j] -= 128 * code;
            }, scales[j], kept, lost[j]);
            heads[j] = norm(query, d - 1);
            norms[j] = norm(query, d);
            last[j] = query[d - 1];
            if (norms[j] < LARGEST_NORM) border[j] = -std::numeric_limits<float>::infinity();
            else found[j].are_too_many = true;
            if (excluded) found[j].excluded = {excluded + starts[j], excluded + starts[j + 1]};
        }
    }
    void add(int64_t j, float score, float error, int64_t row) {
        Candidates& mine = found[j];
        if (!(score + error >= border[j]) || mine.excluded.holds(row)) return;
        mine.kept.push_back({score + error, static_cast<int32_t>(row)});
        border[j] = mine.note(score - error, k);
        if (static_cast<int64_t>(mine.kept.size()) < mine.room) return;
        mine.cut(border[j]);
        if (static_cast<int64_t>(mine.kept.size()) <= mine.room / 2) return;
        mine.room *= 2;
        if (mine.room <= most) return;
        mine.are_too_many = true;  // the bounds tell nothing apart here
        mine.kept.clear();
        border[j] = std::numeric_limits<float>::infinity();
    }
};

// Calls f with each number below N, known to the compiler, so that what f indexes can stay in registers.
template <int N, class F>
inline void each(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
        (f(std::integral_constant<int, I>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

// Integer scores of R items and the V vectors of queries, as float32.
template <int R, int V>
__attribute__((noinline)) void multiply_tile(const uint8_t* const* codes, const Block& block,
                                             __m512 (&products)[ROWS][VECTORS]) {
    __m512i c[R * V], b[V];
    const uint8_t* lines[R];
    each<R>([&](auto r) { lines[r] = codes[r]; });
    each<R * V>([&](auto i) { c[i] = _mm512_setzero_si512(); });
    const int8_t* panel = block.packed.get();
    const int64_t bytes = block.groups * 4;
    for (int64_t start = 0; start < bytes; start += 64) {
        each<R>([&](auto r) { __builtin_prefetch(lines[r] + R * bytes + start); });  // of the next items
        for (int64_t at = start; at < std::min(start + 64, bytes); at += 4, panel += V * LANES * 4) {
            each<V>([&](auto v) { b[v] = _mm512_load_si512(panel + v * LANES * 4); });
            each<R>([&](auto r) {
                const __m512i a = _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(lines[r] + at));
                each<V>([&](auto v) { c[r * V + v] = _mm512_dpbusd_epi32(c[r * V + v], a, b[v]); });
            });
        }
    }
    each<R * V>([&](auto i) {
        const __m512i offset = _mm512_load_si512(block.offsets + i % V * LANES);
        products[i / V][i % V] = _mm512_cvtepi32_ps(_mm512_add_epi32(c[i], offset));
    });
}

// The largest facts of a tile's items, so that one look tells for most that they cannot be among the best.
struct Largest {
    __m512 kept, lost, highest, lowest, rounding;

    Largest(const float* const* facts, int count) {
        float most[FACTS], least = facts[0][3];
        std::copy_n(facts[0], FACTS, most);
        for (int r = 1; r < count; ++r) {
            for (int i = 0; i < FACTS; ++i) most[i] = std::max(most[i], facts[r][i]);
            least = std::min(least, facts[r][3]);
        }
        kept = _mm512_set1_ps(most[1]), lost = _mm512_set1_ps(most[2]), highest = _mm512_set1_ps(most[3]);
        lowest = _mm512_set1_ps(least), rounding = _mm512_set1_ps(most[4]);
    }
    // The most by which a score can exceed its integer product.
    __m512 excess(const Block& block, int64_t at) const {
        const __m512 last = _mm512_load_ps(block.last + at);
        const __m512 bias = _mm512_max_ps(_mm512_mul_ps(last, highest), _mm512_mul_ps(last, lowest));
        const __m512 rounded = _mm512_fmadd_ps(_mm512_load_ps(block.norms + at), rounding, bias);
        const __m512 coded = _mm512_fmadd_ps(_mm512_load_ps(block.heads + at), lost, rounded);
        return _mm512_fmadd_ps(_mm512_load_ps(block.lost + at), kept, coded);
    }
};

// Takes the items of some lanes whose upper bounds reach their queries' borders.
__attribute__((noinline)) void keep(__m512 product, uint32_t mask, int64_t at, const float* fact, int64_t row, Block& block) {
    const __m512 score = _mm512_fmadd_ps(_mm512_load_ps(block.last + at), _mm512_set1_ps(fact[3]), product);
    const __m512 rounded = _mm512_mul_ps(_mm512_load_ps(block.norms + at), _mm512_set1_ps(fact[4]));
    const __m512 coded = _mm512_fmadd_ps(_mm512_load_ps(block.heads + at), _mm512_set1_ps(fact[2]), rounded);
    const __m512 error = _mm512_fmadd_ps(_mm512_load_ps(block.lost + at), _mm512_set1_ps(fact[1]), coded);
    const __m512 border = _mm512_load_ps(block.border + at);
    mask &= _mm512_cmp_ps_mask(_mm512_add_ps(score, error), border, _CMP_GE_OQ);
    if (!mask) return;
    alignas(64) float scores[LANES], errors[LANES];
    _mm512_store_ps(scores, score);
    _mm512_store_ps(errors, error);
    for (; mask; mask &= mask - 1) {
        const int lane = __builtin_ctz(mask);
        block.add(at + lane, scores[lane], errors[lane], row);
    }
}

// Scores `count` items for the block, and keeps whoever may be among the best.
inline void scan(const uint8_t* const* codes, const float* const* facts, const int64_t* rows, int count, Block& block) {
    __m512 products[ROWS][VECTORS];
    const int vectors = static_cast<int>(block.vectors);
    with_tile(count, vectors, [&]<int R, int V>() { multiply_tile<R, V>(codes, block, products); });
    const Largest largest(facts, count);
    for (int v = 0; v < vectors; ++v) {
        const int64_t at = v * LANES;
        const __m512 scale = _mm512_load_ps(block.scales + at);
        const __m512 needed = _mm512_sub_ps(_mm512_load_ps(block.border + at), largest.excess(block, at));
        for (int r = 0; r < count; ++r) {
            const __m512 product = _mm512_mul_ps(products[r][v], _mm512_mul_ps(scale, _mm512_set1_ps(facts[r][0])));
            const __mmask16 mask = _mm512_cmp_ps_mask(product, needed, _CMP_GE_OQ);
            if (__builtin_expect(mask, 0)) keep(product, mask, at, facts[r], rows[r], block);
        }
    }
}

constexpr int TOGETHER = 8;  // candidates scored side by side: sums wait for each other, so several are under way

// Float32 scores of candidates, dimension after dimension as recsys_top_k sums them.
inline void score_candidates(const float* query, const float* vectors, int64_t d, const std::vector<int64_t>& rows,
                             std::vector<Key>& keys) {
    const auto vector_of = [&](size_t i) { return vectors + rows[std::min(i, rows.size() - 1)] * d; };
    keys.clear();
    for (size_t at = 0; at < rows.size(); at += TOGETHER) {
        const float *some[TOGETHER], *next[TOGETHER];
        float sums[TOGETHER] = {};
        each<TOGETHER>([&](auto i) { some[i] = vector_of(at + i), next[i] = vector_of(at + TOGETHER + i); });
        for (int64_t p = 0; p < d; ++p) {
            if (p % LANES == 0) each<TOGETHER>([&](auto i) { __builtin_prefetch(next[i] + p); });
            each<TOGETHER>([&](auto i) { sums[i] = __builtin_fmaf(some[i][p], query[p], sums[i]); });
        }
        for (size_t i = 0; i < std::min<size_t>(TOGETHER, rows.size() - at); ++i)
            if (sums[i] > -std::numeric_limits<float>::infinity())
                keys.emplace_back(sums[i], static_cast<uint32_t>(rows[at + i]));
    }
}

// The k best keys, written out and filled up.
inline void write_best(std::vector<Key>& keys, int64_t k, int64_t* rows, float* scores) {
    const int64_t found = std::min<int64_t>(k, keys.size());
    std::partial_sort(keys.begin(), keys.begin() + found, keys.end(), std::greater<>());
    for (int64_t i = 0; i < k; ++i) {
        rows[i] = i < found ? keys[i].row() : -1;
        scores[i] = i < found ? keys[i].score() : -std::numeric_limits<float>::infinity();
    }
}

#endif

}  // namespace

// Whether this processor has the instructions.
extern "C" int recsys_quantised_suits() {
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    return 1;
#else
    return 0;
#endif
}

// vectors (n, d) -> codes (n, code_bytes(d)) from 0 to 255 and facts (n, FACTS), as above.
extern "C" void recsys_quantise(const float* vectors, int64_t n, int64_t d, uint8_t* codes, float* facts) {
    const int64_t bytes = code_bytes(d);
    const float rounding = (d + 16) * 0x1p-23f;  // of a sum of d products in float32, twice over
    for (int64_t i = 0; i < n; ++i) {
        const float* x = vectors + i * d;
        uint8_t* code = codes + i * bytes;
        float* fact = facts + i * FACTS;
        std::fill_n(code, bytes, uint8_t{128});
        const auto write = [&](int64_t p, int value) { code[p] = static_cast<uint8_t>(value + 128); };
        quantise(x, d - 1, write, fact[0], fact[1], fact[2]);
        fact[3] = x[d - 1];
        fact[4] = rounding * norm(x, d);
    }
}

// As recsys_top_k, of vectors that recsys_quantise has coded. A query with more than `most` candidates is answered by a
// scan in float32; `scanned` counts these.
extern "C" void recsys_quantised_top_k(const float* queries, int64_t n, const float* vectors, const uint8_t* codes,
                                       const float* facts, int64_t n_items, int64_t d, const int64_t* wanted,
                                       int64_t n_wanted, const int64_t* starts, const int32_t* excluded, int64_t k,
                                       int64_t most, int64_t* out_rows, float* out_scores, int64_t* scanned, int threads) {
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    const int64_t count = wanted ? n_wanted : n_items, blocks = (n + BLOCK - 1) / BLOCK, bytes = code_bytes(d);
    const int64_t parts = std::max<int64_t>(1, threads / std::max<int64_t>(1, blocks));  // of the items, for few queries
    std::vector<std::vector<int64_t>> found(n * parts);
    std::vector<char> are_too_many(n * parts, 0);
#pragma omp parallel num_threads(threads)
    {
        Block block(d, k, most);
        std::vector<int64_t> rows;
        std::vector<Key> keys;
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < blocks * parts; ++task) {
            const int64_t first = task / parts * BLOCK, part = task % parts, here = std::min(BLOCK, n - first);
            const auto [begin, end] = share(count, part, parts);
            block.take(queries + first * d, here, starts ? starts + first : nullptr, excluded);
            for (int64_t at = begin; at < end; at += ROWS) {
                const int n_rows = static_cast<int>(std::min<int64_t>(ROWS, end - at));
                const uint8_t* lines[ROWS];
                const float* known[ROWS];
                int64_t rows[ROWS];
                for (int r = 0; r < n_rows; ++r) {
                    rows[r] = wanted ? wanted[at + r] : at + r;
                    lines[r] = codes + rows[r] * bytes;
                    known[r] = facts + rows[r] * FACTS;
                }
                scan(lines, known, rows, n_rows, block);
            }
            for (int64_t j = 0; j < here; ++j) {
                const int64_t place = (first + j) * parts + part;
                block.found[j].cut(block.border[j]);
                are_too_many[place] = block.found[j].are_too_many;
                for (const Candidate& one : block.found[j].kept) found[place].push_back(one.row);
            }
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t query = 0; query < n; ++query) {
            rows.clear();
            bool all = false;
            for (int64_t part = 0; part < parts; ++part) {
                all |= are_too_many[query * parts + part];
                const auto& some = found[query * parts + part];
                rows.insert(rows.end(), some.begin(), some.end());
            }
            const float* one = queries + query * d;
            if (all) {
#pragma omp atomic
                ++*scanned;
                recsys_top_k(one, 1, vectors, n_items, d, wanted, n_wanted, starts ? starts + query : nullptr, excluded, k,
                             out_rows + query * k, out_scores + query * k, 1);
            } else {
                score_candidates(one, vectors, d, rows, keys);
                write_best(keys, k, out_rows + query * k, out_scores + query * k);
            }
        }
    }
#endif
}
