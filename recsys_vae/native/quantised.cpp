// The k largest inner products, found among few: scores in 8-bit integers with bounds on their error say which items can
// be among the best (code_scan.h); these alone are scored in float32, by recsys_top_k, so the answer is that of a scan of all.
#include "code_scan.h"

extern "C" void recsys_top_k(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                             const int64_t* wanted, int64_t n_wanted, const int64_t* starts, const int32_t* excluded,
                             int64_t k, int64_t* out_rows, float* out_scores, int threads);

namespace {

// Bytes of a vector's codes: its dimensions but the last, in whole groups.
inline int64_t code_bytes(int64_t d) { return rounded_up(d - 1, GROUP); }

}  // namespace

// Whether this processor has the instructions.
extern "C" int recsys_quantised_suits() {
#ifdef MULTIPLIES_BYTES
    return 1;
#else
    return 0;
#endif
}

extern "C" int64_t recsys_code_bytes(int64_t d) { return code_bytes(d); }

// vectors (n, d) -> codes (n, code_bytes(d)) from 0 on and facts (n, FACTS), as above.
extern "C" void recsys_quantise(const float* vectors, int64_t n, int64_t d, uint8_t* codes, float* facts) {
    const int64_t bytes = code_bytes(d);
    const float rounding = (d + 16) * 0x1p-23f;  // of a sum of d products in float32, twice over
    for (int64_t i = 0; i < n; ++i) {
        const float* x = vectors + i * d;
        uint8_t* code = codes + i * bytes;
        float* fact = facts + i * FACTS;
        std::fill_n(code, bytes, uint8_t{OFFSET});
        const auto write = [&](int64_t p, int value) { return code[p] = static_cast<uint8_t>(value + OFFSET), value; };
        fact[0] = least_scale(x, d - 1, LARGEST_CODE);
        quantise(x, d - 1, fact[0], LARGEST_CODE, write, fact[1], fact[2]);
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
#ifdef MULTIPLIES_BYTES
    const int64_t count = wanted ? n_wanted : n_items, blocks = (n + BLOCK - 1) / BLOCK, bytes = code_bytes(d);
    const int64_t parts = std::max<int64_t>(1, threads / std::max<int64_t>(1, blocks));  // of the items, for few queries
    std::vector<std::vector<int64_t>> found(n * parts);
    std::vector<char> are_too_many(n * parts, 0);
#pragma omp parallel num_threads(threads)
    {
        Block block(d, k, most, bytes, IN_MEMORY);
        block.end = codes + n_items * bytes;
        std::vector<int64_t> rows;
        std::vector<Key> keys;
#ifdef __AVX512VNNI__
        FineQuery fine(d, bytes);
        std::vector<std::pair<float, float>> bounds;
        std::vector<float> lower;
#endif
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < blocks * parts; ++task) {
            const int64_t first = task / parts * BLOCK, part = task % parts, here = std::min(BLOCK, n - first);
            const auto [begin, end] = share(count, part, parts);
            block.take(queries + first * d, here, starts ? starts + first : nullptr, excluded);
            for (int64_t at = begin; at < end; at += SCANNED) {
                const int n_rows = static_cast<int>(std::min<int64_t>(SCANNED, end - at));
                const uint8_t* lines[SCANNED];
                const float* known[SCANNED];
                int64_t rows[SCANNED];
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
                keys.clear();
#ifdef __AVX512VNNI__
                look_closer(fine, one, IN_MEMORY, codes, facts, k, rows, bounds, lower);
#endif
                score_candidates(d, rows.size(), [&](size_t) { return one; }, [&](size_t i) { return vectors + rows[i] * d; },
                                 [&](size_t i, float score) { keys.emplace_back(score, static_cast<uint32_t>(rows[i])); });
                write_best(keys, k, out_rows + query * k, out_scores + query * k);
            }
        }
    }
#endif
}
