// The k largest inner products, found among few: scores in 8-bit integers with bounds on their error say which items can
// be among the best (code_scan.h); these alone are scored in float32, by recsys_top_k, so the answer is that of a scan of all.
#include "coarse_look.h"

extern "C" void recsys_top_k(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                             const int64_t* wanted, int64_t n_wanted, const int64_t* starts, const int32_t* excluded,
                             int64_t k, int64_t* out_rows, float* out_scores, int threads);

namespace {

// Bytes of a vector's codes: its dimensions but the last, in whole groups.
inline int64_t code_bytes(int64_t d) { return rounded_up(d - 1, GROUP); }

#ifdef MULTIPLIES_BYTES

constexpr int64_t DENSE = 4;  // times as many items as are wanted for which tiles are read, at most

// Items and which of them may come back: `wanted`, ascending, or all where it is null.
struct Items {
    const uint8_t* codes;
    const float* facts;
    const uint8_t* tiles;
    const int64_t* wanted;
    int64_t count, n_items, d, bytes;

    bool are_looked_at_by(int64_t n) const {
        return tiles && n <= lookers(d) && count * DENSE >= n_items;
    }
    void scan_some(const int64_t* rows, int64_t n, Block& block) const {
        for (int64_t at = 0; at < n; at += SCANNED) {
            const int here = static_cast<int>(std::min<int64_t>(SCANNED, n - at));
            const uint8_t* lines[SCANNED];
            const float* known[SCANNED];
            for (int r = 0; r < here; ++r) lines[r] = codes + rows[at + r] * bytes, known[r] = facts + rows[at + r] * FACTS;
            scan(lines, known, rows + at, here, block);
        }
    }
    // Which items of some tiles may come back, a bit each.
    void mark(int64_t tile, int64_t n, std::vector<uint16_t>& open) const {
        open.assign(n, wanted ? 0 : 0xffff);
        const int64_t first = tile * TILE_ITEMS, last = std::min(n_items, first + n * TILE_ITEMS);
        if (wanted)
            for (const int64_t* at = std::lower_bound(wanted, wanted + count, first); at != wanted + count && *at < last; ++at)
                open[(*at - first) / TILE_ITEMS] |= static_cast<uint16_t>(1 << (*at - first) % TILE_ITEMS);
        else if (last < first + n * TILE_ITEMS) open[n - 1] = static_cast<uint16_t>((1 << (last - first) % TILE_ITEMS) - 1);
    }
    void prefetch(int64_t row) const {
        for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(codes + row * bytes + at);
        __builtin_prefetch(codes + row * bytes + bytes - 1);
        __builtin_prefetch(facts + row * FACTS);
    }
};

// Scans one of so many parts of the items.
void scan_all(const Items& items, int64_t part, int64_t parts, Block& block) {
    const auto [begin, end] = share(items.count, part, parts);
    block.ahead = ROWS * items.bytes;
    int64_t rows[SCANNED];
    for (int64_t at = begin; at < end; at += SCANNED) {
        const int64_t here = std::min<int64_t>(SCANNED, end - at);
        for (int64_t r = 0; r < here; ++r) rows[r] = items.wanted ? items.wanted[at + r] : at + r;
        items.scan_some(rows, here, block);
    }
}

// Rows that are looked at in 8 bits together, as they were found.
struct Passed {
    static constexpr int64_t TOGETHER = 32;
    const Items& items;
    int64_t rows[TOGETHER + TILE_ITEMS], count = 0;

    void add(int64_t row) {
        rows[count++] = row;
        items.prefetch(row);
    }
    void scan(Block& block, int64_t least = 1) {
        if (count < least) return;
        items.scan_some(rows, count, block);
        count = 0;
    }
};

constexpr int64_t MORE = 12;  // items beyond those that are certain to be enough, of which the first border is made

// Looks at one of so many parts of the tiles, and scans who may be among the best by them: of the first strip at first
// only who will probably be, as their scores are a border that leaves few others.
void look_first(const Items& items, CoarseLook& coarse, int64_t k, int64_t part, int64_t parts, Block& block) {
    const auto [begin, end] = share((items.n_items + TILE_ITEMS - 1) / TILE_ITEMS, part, parts);
    Passed passed{items};
    std::vector<uint16_t> open;  // of each tile the items that may come back and have not been scanned
    std::vector<float> bounds;
    block.ahead = 0;
    for (int64_t strip = begin; strip < end; strip += STRIP) {
        const int64_t count = std::min(STRIP, end - strip);
        items.mark(strip, count, open);
        coarse.look(items.tiles + strip * tile_bytes(items.d), count);
        const auto scan_reaching = [&](const float* border) {
            for (int64_t tile = 0; tile < count; ++tile) {
                uint32_t mask = coarse.reaching(tile, border) & open[tile];
                if (__builtin_expect(!mask, 1)) continue;
                open[tile] ^= mask;
                for (; mask; mask &= mask - 1) passed.add((strip + tile) * TILE_ITEMS + __builtin_ctz(mask));
                passed.scan(block, Passed::TOGETHER);
            }
            passed.scan(block);
        };
        if (strip == begin) {
            float border[LOOKERS];
            Excluded excluded[LOOKERS];
            for (int64_t j = 0; j < block.n; ++j) {
                excluded[j] = block.found[j].excluded;
                const int64_t few = k + (excluded[j].end - excluded[j].next) + MORE;
                const bool is_open = block.border[j] < std::numeric_limits<float>::infinity();
                border[j] = is_open ? coarse.reached_by(few * items.n_items / items.count, count, j, bounds) : block.border[j];
            }
            scan_reaching(border);
            for (int64_t j = 0; j < block.n; ++j) block.found[j].excluded = excluded[j];
        }
        scan_reaching(block.border);
    }
}

#endif

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

// Bytes of the tiles of so many vectors; 0 where nobody looks at them.
extern "C" int64_t recsys_tile_bytes(int64_t n, int64_t d) {
    const bool is_worth = lookers(d) > 0 && n * code_bytes(d) >= WORTH_A_LOOK;
    return is_worth ? (n + TILE_ITEMS - 1) / TILE_ITEMS * tile_bytes(d) : 0;
}

// What recsys_quantise has made of vectors -> tiles for a coarse look at them.
extern "C" void recsys_tile(const float* vectors, int64_t n, int64_t d, const uint8_t* codes, const float* facts,
                            uint8_t* tiles) {
    const int64_t bytes = code_bytes(d);
    for (int64_t at = 0; at < n; at += TILE_ITEMS, tiles += tile_bytes(d))
        write_tile(vectors + at * d, codes + at * bytes, bytes, facts + at * FACTS,
                   static_cast<int>(std::min<int64_t>(TILE_ITEMS, n - at)), d, tiles);
}

// As recsys_top_k, of vectors that recsys_quantise has coded and, unless `tiles` is null, recsys_tile has written in tiles. A
// query with more than `most` candidates is answered by a scan in float32; `scanned` counts these.
extern "C" void recsys_quantised_top_k(const float* queries, int64_t n, const float* vectors, const uint8_t* codes,
                                       const float* facts, const uint8_t* tiles, int64_t n_items, int64_t d,
                                       const int64_t* wanted, int64_t n_wanted, const int64_t* starts,
                                       const int32_t* excluded, int64_t k, int64_t most, int64_t* out_rows,
                                       float* out_scores, int64_t* scanned, int threads) {
#ifdef MULTIPLIES_BYTES
    const Items items{codes, facts, tiles, wanted, wanted ? n_wanted : n_items, n_items, d, code_bytes(d)};
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    const int64_t parts = std::max<int64_t>(1, threads / std::max<int64_t>(1, blocks));  // of the items, for few queries
    std::vector<std::vector<int64_t>> found(n * parts);
    std::vector<char> are_too_many(n * parts, 0);
#pragma omp parallel num_threads(threads)
    {
        Block block(d, k, most, items.bytes, IN_MEMORY);
        CoarseLook coarse(d, items.are_looked_at_by(n) ? (n_items + TILE_ITEMS - 1) / TILE_ITEMS : 0);
        block.end = codes + n_items * items.bytes;
        std::vector<int64_t> rows;
        std::vector<Key> keys;
#ifdef __AVX512VNNI__
        FineQuery fine(d, items.bytes);
        std::vector<std::pair<float, float>> bounds;
        std::vector<float> lower;
#endif
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < blocks * parts; ++task) {
            const int64_t first = task / parts * BLOCK, part = task % parts, here = std::min(BLOCK, n - first);
            block.take(queries + first * d, here, starts ? starts + first : nullptr, excluded);
            if (items.are_looked_at_by(n)) {
                coarse.take(queries + first * d, here, d);
                look_first(items, coarse, k, part, parts, block);
            } else {
                scan_all(items, part, parts, block);
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
