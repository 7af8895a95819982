// The k largest inner products of vectors that lie in a file, in blocks by descending norm: 8-bit codes, in halves, and facts
// are mapped, float32 vectors are read for the few that may be among the best.
//
//     q.v <= |q| max |v| + max(q_d max v_d, q_d min v_d)   over the items of a block, d the last dimension
//
// Blocks are visited from the largest bound down; where it is below the k-th largest lower bound (code_scan.h), nothing of
// the block is read. Few queries look at the upper halves of codes first (first_look.h). What is kept is scored in float32 in the order of recsys_top_k, so the answer is that of a scan of
// all, bit for bit. Sources: Teflioudi et al., LEMP, SIGMOD 2015 (blocks by norm); Li et al., FEXIPRO, SIGMOD 2017 (integers).
#include <cstring>

#include "first_look.h"

namespace {

#ifdef MULTIPLIES_BYTES

constexpr int64_t TOGETHER_AT_LEAST = 512;  // allowed places that are gathered from blocks before they are scanned
constexpr int64_t AHEAD = 4 * ROWS;           // places ahead of the scan that are fetched

// Times that an item's codes were looked at, and whole codes, by whatever number of queries; and its vector, by one.
struct Counts {
    int64_t coded = 0, whole = 0, exact = 0;

    void add_to(int64_t* out) const {
#pragma omp atomic
        out[0] += coded;
#pragma omp atomic
        out[1] += whole;
#pragma omp atomic
        out[2] += exact;
    }
};

// A tile of queries on its way through the blocks.
class Search {
    const File& file;
    const Allowed& allowed;
    const int64_t k, most;
    Block tile;
    FirstLook first;
    VectorReader reader;
    Buffer<uint8_t> codes;  // of some items, whole
    std::vector<Key> exact[BLOCK];  // the k best of those that were scored in float32
    std::vector<float> bounds;      // of each block, for each query
    std::vector<std::pair<float, int64_t>> order;
    std::vector<int64_t> places, passed;
    std::vector<uint64_t> wanted;  // candidates: place * BLOCK + query
    const float* queries = nullptr;
    const int64_t* starts = nullptr;
    const int32_t* excluded = nullptr;
    int64_t here = 0;

  public:
    Counts counts;
    bool is_readable = true;

    Search(const File& file, const Allowed& allowed, int64_t k, int64_t most)
        : file(file), allowed(allowed), k(k), most(most),
          tile(file.vectors.d, k, std::numeric_limits<int64_t>::max(), file.bytes(), IN_FILES), first(file),
          reader(file.vectors), codes(buffer<uint8_t>(SCANNED * file.bytes() + WIDEST)) {
        tile.ahead = 0, tile.end = codes.get() + SCANNED * file.bytes() + WIDEST;
    }

    void take(const float* some, int64_t count, const int64_t* from, const int32_t* hidden) {
        queries = some, here = count, starts = from, excluded = hidden;
        tile.take(queries, here, starts, excluded);
        if (looks_first()) first.take(queries, here, file.vectors.d);
        for (auto& keys : exact) keys.clear();
        rank_blocks();
    }
    // Whether a query's numbers are too large for bounds, or none: it found nothing, and is to be scanned for.
    bool is_open(int64_t j) const { return tile.found[j].are_too_many; }

    // Visits every `parts`-th block from `part` on; those with few allowed items together, so that none waits for memory.
    void run(int64_t part, int64_t parts) {
        places.clear();
        for (int64_t i = part; i < file.n_blocks(); i += parts) {
            if (!concerns_any(order[i].second)) continue;
            const auto [begin, end] = file.places(order[i].second);
            allowed.add_within(begin, end, file.rows, places);
            if (allowed.is_all() || static_cast<int64_t>(places.size()) >= TOGETHER_AT_LEAST) visit();
        }
        visit();
        settle(0, here);
    }
    const std::vector<Key>& best(int64_t j) const { return exact[j]; }

  private:
    void rank_blocks() {
        const int64_t n = file.n_blocks();
        bounds.resize(n * BLOCK);
        order.resize(n);
        for (int64_t b = 0; b < n; ++b) {
            const float* fact = file.blocks + b * BLOCK_FACTS;
            float first = -std::numeric_limits<float>::infinity();
            for (int64_t j = 0; j < here; ++j) {
                const double last = tile.last[j], bias = std::max(last * fact[1], last * fact[2]);
                const double bound = double(tile.heads[j]) * fact[0] + bias + double(tile.norms[j]) * fact[3];
                bounds[b * BLOCK + j] = std::nextafter(static_cast<float>(bound), std::numeric_limits<float>::infinity());
                if (tile.norms[j] > 0) first = std::max(first, bounds[b * BLOCK + j] / tile.norms[j]);
            }
            order[b] = {-first, b};
        }
        std::sort(order.begin(), order.end());
    }
    bool concerns_any(int64_t block) const {
        const float* mine = bounds.data() + block * BLOCK;
        bool any = false;
        for (int64_t j = 0; j < here; ++j) any |= mine[j] >= tile.border[j];
        return any;
    }
    void visit() {
        if (places.empty()) return;
        if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
        if (excluded)
            for (int64_t j = 0; j < here; ++j) {
                const int32_t *from = excluded + starts[j], *to = excluded + starts[j + 1];
                tile.found[j].excluded = {std::lower_bound(from, to, places.front()), to};
            }
        if (looks_first()) look();
        else scan_whole(places);
        counts.coded += places.size();
        places.clear();
        for (int64_t j = 0; j < here; ++j)
            if (static_cast<int64_t>(tile.found[j].kept.size()) > most) settle(j, j + 1);
    }
    bool looks_first() const { return here <= FEW_TO_LOOK; }
    // Looks at halves of codes, block by block, and at whole ones of whoever passes.
    void look() {
        const int64_t count = places.size();
        for (int64_t at = 0; at < count;) {
            const int64_t block = places[at] / file.block_size, next = file.places(block).second;
            const int64_t end = std::lower_bound(places.begin() + at, places.end(), next) - places.begin();
            first.enter(block, tile.border);
            for (; at < end; at += SPAN) {
                const int n = static_cast<int>(std::min<int64_t>(SPAN, end - at));
                if (!allowed.is_all())
                    for (int r = 0; r < n; ++r) prefetch(places[std::min(at + r + SPAN, count - 1)], false);
                uint32_t mask = first.look(places.data() + at, n);
                if (__builtin_expect(!mask, 1)) continue;
                for (; mask; mask &= mask - 1) passed.push_back(places[at + __builtin_ctz(mask)]);
                scan_whole(passed);
                passed.clear();
                first.set_borders(tile.border);
            }
            at = end;
        }
    }
    void scan_whole(const std::vector<int64_t>& some) {
        const int64_t count = some.size();
        float facts[SCANNED][FACTS];
        const uint8_t* lines[SCANNED];
        const float* known[SCANNED];
        for (int r = 0; r < SCANNED; ++r) lines[r] = codes.get() + r * file.bytes(), known[r] = facts[r];
        for (int64_t at = 0; at < count; at += SCANNED) {
            const int n = static_cast<int>(std::min<int64_t>(SCANNED, count - at));
            for (int r = 0; r < n; ++r) {
                const int64_t place = some[at + r];
                const float *lead = file.leads + place * LEADS, *rest = file.rest + place * REST;
                file.unpack(place, codes.get() + r * file.bytes());
                facts[r][0] = lead[0], facts[r][1] = rest[0], facts[r][2] = rest[1], facts[r][3] = lead[1], facts[r][4] = rest[2];
                prefetch(some[std::min(at + r + AHEAD, count - 1)], true);
            }
            scan(lines, known, some.data() + at, n, tile);
        }
        counts.whole += count;
    }
    // Fetches what will be read of a place.
    void prefetch(int64_t place, bool is_whole) const {
        for (int64_t at = 0; at < file.half; at += 64) {
            __builtin_prefetch(file.high + place * file.half + at);
            if (is_whole) __builtin_prefetch(file.low + place * file.half + at);
        }
        __builtin_prefetch(file.leads + place * LEADS);
        if (is_whole) __builtin_prefetch(file.rest + place * REST);
    }
    // Scores the candidates of some queries in float32, and keeps the k best of all that were.
    void settle(int64_t first_query, int64_t end_query) {
        wanted.clear();
        for (int64_t j = first_query; j < end_query; ++j) {
            tile.found[j].cut(tile.border[j]);
            for (const Candidate& one : tile.found[j].kept) wanted.push_back(uint64_t(one.row) * BLOCK + j);
            tile.found[j].kept.clear();
            tile.found[j].room = 4 * k + 128;
        }
        std::sort(wanted.begin(), wanted.end());  // by place, so that what several queries want is read once
        const auto place_of = [&](size_t i) { return static_cast<int64_t>(wanted[i] / BLOCK); };
        const auto origin_of = [&](size_t i) { return file.origin(place_of(i)); };
        is_readable &= reader.read(wanted.size(), origin_of, [&](size_t first, size_t end, auto&& vector_of) {
            score_candidates(
                file.vectors.d, end - first, [&](size_t i) { return queries + wanted[first + i] % BLOCK * file.vectors.d; },
                [&](size_t i) { return vector_of(first + i); },
                [&](size_t i, float score) {
                    const auto row = static_cast<uint32_t>(file.rows[place_of(first + i)]);
                    exact[wanted[first + i] % BLOCK].emplace_back(score, row);
                });
        });
        counts.exact += wanted.size();
        for (int64_t j = first_query; j < end_query; ++j) keep_best(j);
    }
    void keep_best(int64_t j) {
        if (static_cast<int64_t>(exact[j].size()) < k) return;
        std::nth_element(exact[j].begin(), exact[j].begin() + k - 1, exact[j].end(), std::greater<>());
        exact[j].resize(k);
        tile.found[j].proved = std::max(tile.found[j].proved, exact[j][k - 1].score());
        tile.border[j] = std::max(tile.border[j], tile.found[j].proved);
    }
};

#endif

}  // namespace

// Rows of the allowed items, ascending; returns how many, or -1 where they are more than `most`.
extern "C" int64_t recsys_ondisk_rows(const uint8_t* allowed, int64_t n_items, int64_t most, int32_t* out) {
    constexpr int64_t STEP = 64, WORD = sizeof(uint64_t);
    int64_t count = 0;
    for (int64_t at = 0; at < n_items; at += STEP) {
        const int64_t end = std::min(at + STEP, n_items);
        uint64_t words[STEP / WORD] = {}, any = 0;
        std::memcpy(words, allowed + at, end - at);
        for (const uint64_t word : words) any |= word;
        if (!any) continue;
        for (int64_t w = 0; w < STEP / WORD; ++w)
            for (uint64_t left = words[w]; left;) {  // a flag is a byte, 0 or 1
                if (count == most) return -1;
                out[count++] = static_cast<int32_t>(at + w * WORD + std::countr_zero(left) / 8);
                left &= left - 1;
            }
    }
    return count;
}

// Vectors (count, d) of some places, ascending; they lie from byte `start` on in the file `descriptor`. Returns 0, or 1
// where the file cannot be read.
extern "C" int recsys_ondisk_gather(int descriptor, int64_t start, int64_t d, const int32_t* places, int64_t count, float* out) {
    VectorReader reader({descriptor, start, d});
    const bool is_read = reader.read(count, [&](size_t i) { return int64_t{places[i]}; },
                                     [&](size_t first, size_t end, auto&& vector_of) {
        for (size_t i = first; i < end; ++i) std::copy_n(vector_of(i), d, out + i * d);
    });
    return is_read ? 0 : 1;
}

// Codes, facts and rows of some places, as recsys_ondisk_top_k takes those of all.
extern "C" void recsys_ondisk_copy(const uint8_t* high, const uint8_t* low, const float* leads, const float* rest,
                                   const int32_t* item_rows, int64_t half, const int32_t* places, int64_t count,
                                   uint8_t* out_high, uint8_t* out_low, float* out_leads, float* out_rest, int32_t* out_rows) {
    const File file{high, low, leads, rest, item_rows, nullptr, 0, half, 0, {}};
    copy_places(file, places, count, {out_high, out_low, out_leads, out_rest, out_rows});
}

// The k best of n queries (n, d), among items whose halves of codes, high and low (n_items, half), leads (n_items, LEADS), rest
// (n_items, REST), rows, and blocks of block_size items with BLOCK_FACTS each, are mapped; vectors (n_items, d) lie from byte
// `start` on in the file `descriptor`, all by place. Where items were copied from a larger file, `origins` says at which place of
// it each vector lies; else it is null. Where `kept` is not null it holds the vectors, and no file is read. May come back:
// n_wanted places, ascending, or items whose bit is set, or all where both are null. Places that query i must not find:
// excluded[starts[i]] .. excluded[starts[i + 1] - 1], ascending, or null. Writes (n, k) rows and scores, filled up with -1 and
// -inf, which queries are left open for a scan in float32, and adds up what was looked at. Returns 0, or 1 where the file
// cannot be read.
extern "C" int recsys_ondisk_top_k(const float* queries, int64_t n, const uint8_t* high, const uint8_t* low,
                                   const float* leads, const float* rest, const int32_t* item_rows, const float* blocks,
                                   int64_t n_items, int64_t d, int64_t half, int64_t block_size, int descriptor,
                                   int64_t start, const int32_t* origins, const float* kept, const int32_t* wanted,
                                   int64_t n_wanted, const uint8_t* bits, const int64_t* starts, const int32_t* excluded,
                                   int64_t k, int64_t most, int64_t* out_rows, float* out_scores, uint8_t* open, int64_t* counts, int threads) {
#ifdef MULTIPLIES_BYTES
    const File file{high,    low,  leads,      rest,                         item_rows,               blocks,
                    n_items, half, block_size, {descriptor, start, d, kept}, kept ? nullptr : origins};
    const Allowed allowed{wanted, n_wanted, bits};
    const int64_t tiles = (n + BLOCK - 1) / BLOCK;
    const int64_t parts = std::max<int64_t>(1, threads / std::max<int64_t>(1, tiles));  // of the blocks, for few queries
    std::vector<std::vector<Key>> found(n * parts);
    int unreadable = 0;
#pragma omp parallel num_threads(threads)
    {
        Search search(file, allowed, k, most);
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < tiles * parts; ++task) {
            const int64_t first = task / parts * BLOCK, part = task % parts, here = std::min(BLOCK, n - first);
            search.take(queries + first * d, here, starts ? starts + first : nullptr, excluded);
            search.run(part, parts);
            for (int64_t j = 0; j < here; ++j) {
                found[(first + j) * parts + part] = search.best(j);
                if (part == 0) open[first + j] = search.is_open(j);
            }
        }
        search.counts.add_to(counts);
        if (!search.is_readable) {
#pragma omp atomic write
            unreadable = 1;
        }
#pragma omp for schedule(static)
        for (int64_t query = 0; query < n; ++query) {
            std::vector<Key>& all = found[query * parts];
            for (int64_t part = 1; part < parts; ++part)
                all.insert(all.end(), found[query * parts + part].begin(), found[query * parts + part].end());
            write_best(all, k, out_rows + query * k, out_scores + query * k);
        }
    }
    return unreadable;
#else
    return 1;
#endif
}
