// The k largest inner products of each query, and the place of its best target among all items, in one scan of 8-bit codes.
//
// The scan bounds every score (code_scan.h). Items whose lower bound is above the target's score stand before it, those whose
// upper bound is below do not; the few between are scored in float32. So lists and places are those of a scan in float32.
#include "code_scan.h"

extern "C" void recsys_top_k(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                             const int64_t* wanted, int64_t n_wanted, const int64_t* starts, const int32_t* excluded,
                             int64_t k, int64_t* out_rows, float* out_scores, int threads);
extern "C" void recsys_products(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                                const int64_t* wanted, int64_t n_wanted, float* out, int threads);

#ifdef MULTIPLIES_BYTES

namespace {

// Vectors (n_items, d), with what recsys_quantise has made of them.
struct Items {
    const float* vectors;
    const uint8_t* codes;
    const float* facts;
    int64_t n_items, d, bytes;

    const float* at(int64_t row) const { return vectors + row * d; }
};

// Rows by query: those of query i from starts[i] on, ascending.
struct Rows {
    const int64_t* starts;
    const int32_t* rows;

    const int32_t* begin(int64_t query) const { return rows + starts[query]; }
    const int32_t* end(int64_t query) const { return rows + starts[query + 1]; }
};

constexpr float NOTHING = std::numeric_limits<float>::infinity();  // score of the target of a query that has none

// Of two vectors, summed in whatever order is fast.
inline float product(const float* a, const float* b, int64_t d) {
    vec sums[4] = {};
    int64_t p = 0;
    for (; p + 4 * LANES <= d; p += 4 * LANES)
        each<4>([&](auto i) {
            vec x, y;
            __builtin_memcpy(&x, a + p + i * LANES, sizeof(vec));
            __builtin_memcpy(&y, b + p + i * LANES, sizeof(vec));
            sums[i] += x * y;
        });
    const vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float found = 0.0f;
    for (int i = 0; i < LANES; ++i) found += sum[i];
    for (; p < d; ++p) found += a[p] * b[p];
    return found;
}

// What may be among the k best of a query, by bounds on its scores.
struct Best {
    struct One {
        float lower, upper;
        int32_t row;
    };
    std::vector<One> kept;
    size_t room = 0;
    Excluded excluded{};

    void reset(int64_t k, const Excluded& hidden) {
        kept.clear();
        room = 4 * k + 128, excluded = hidden;
    }
    // Drops who cannot be among the best; returns what upper bounds must reach to be.
    float cut(int64_t k) {
        if (static_cast<int64_t>(kept.size()) < k) return -std::numeric_limits<float>::infinity();
        std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end(), [](const One& a, const One& b) { return a.lower > b.lower; });
        const float border = kept[k - 1].lower;
        std::erase_if(kept, [&](const One& one) { return one.upper < border; });
        return border;
    }
};

// The best target of each query of a block, and how many items stand before it.
class Places {
    struct Open {
        int32_t row, query;
    };
    const Items& items;
    const float *queries = nullptr, *norms = nullptr;
    std::vector<Open> open;
    Key targets[BLOCK];
    alignas(64) float goals[BLOCK];
    alignas(64) int32_t certain[BLOCK];
    int64_t scored[BLOCK];
    Best best[BLOCK];

  public:
    explicit Places(const Items& items) : items(items) {}

    void take(const float* from, const Block& block, int64_t first, const Rows& wanted, const Rows& hidden) {
        queries = from, norms = block.norms;
        for (int64_t j = 0; j < BLOCK; ++j) {
            goals[j] = NOTHING, certain[j] = 0, scored[j] = 0;
            if (j >= block.n) continue;
            best[j].reset(block.k, {hidden.begin(first + j), hidden.end(first + j)});
            bool is_any = false;
            Excluded out{hidden.begin(first + j), hidden.end(first + j)};
            each_score(j, wanted.begin(first + j), wanted.end(first + j), [&](int64_t row, const Key& key) {
                if (out.holds(row) || (is_any && !(key > targets[j]))) return;
                targets[j] = key, is_any = true, goals[j] = key.score();
            });
        }
    }
    bool has_target(int64_t query) const { return goals[query] < NOTHING; }

    // Takes `count` items whose integer scores are known: keeps who may be among the best, counts who stands before a target.
    void add(const vec (*products)[BLOCK / LANES], const float* const* facts, int64_t first, int count, Block& block) {
        for (int64_t at = 0; at < block.vectors * LANES; at += LANES) {
            const vec scale = load(block.scales + at), last = load(block.last + at), goal = load(goals + at);
            const vec lost = load(block.lost + at), head = load(block.heads + at), norm = load(block.norms + at);
            ints before = *reinterpret_cast<ints*>(certain + at);
            for (int r = 0; r < count; ++r) {
                const float* fact = facts[r];
                const vec score = last * everywhere(fact[3]) + products[r][at / LANES] * (scale * everywhere(fact[0]));
                const vec error = lost * everywhere(fact[1]) + (head * everywhere(fact[2]) + norm * everywhere(fact[4]));
                const vec lower = score - error, upper = score + error;
                before -= lower > goal;
                uint32_t unclear = at_least(upper, goal) & at_least(goal, lower);
                for (; __builtin_expect(unclear, 0); unclear &= unclear - 1)
                    open.push_back({static_cast<int32_t>(first + r), static_cast<int32_t>(at + __builtin_ctz(unclear))});
                uint32_t good = at_least(upper, load(block.border + at));
                for (; __builtin_expect(good, 0); good &= good - 1) {
                    const int lane = __builtin_ctz(good);
                    keep(at + lane, {lower[lane], upper[lane], static_cast<int32_t>(first + r)}, block);
                }
            }
            *reinterpret_cast<ints*>(certain + at) = before;
        }
    }
    // The place of a query's best target among all items that are not hidden, from 1 on.
    int64_t place(int64_t query, const int32_t* hidden, const int32_t* end) {
        int64_t before = certain[query] + scored[query];
        each_score(query, hidden, end, [&](int64_t, const Key& key) { before -= key > targets[query]; });
        return 1 + before;
    }
    // The same by the scores of all items.
    int64_t place(int64_t query, const int32_t* hidden, const int32_t* end, const float* scores) const {
        int64_t before = 0;
        Excluded out{hidden, end};
        for (int64_t row = 0; row < items.n_items; ++row)
            before += Key(scores[row], static_cast<uint32_t>(row)) > targets[query] && !out.holds(row);
        return 1 + before;
    }

    // By float32 in whatever order; where that does not tell, in the one order that counts.
    void score_open() {
        size_t left = 0;
        for (size_t i = 0; i < open.size(); ++i) {
            const auto [row, query] = open[i];
            const float* ahead = items.at(open[std::min(i + 2, open.size() - 1)].row);
            for (int64_t p = 0; p < items.d; p += 16) __builtin_prefetch(ahead + p);
            const float score = product(queries + query * items.d, items.at(row), items.d);
            const float error = norms[query] * items.facts[row * FACTS + 4];
            if (score - error > goals[query]) ++scored[query];
            else if (!(score + error < goals[query])) open[left++] = open[i];
        }
        open.resize(left);
        score_candidates(items.d, left, [&](size_t i) { return queries + open[i].query * items.d; },
                         [&](size_t i) { return items.at(open[i].row); },
                         [&](size_t i, float score) {
                             const auto [row, query] = open[i];
                             scored[query] += Key(score, static_cast<uint32_t>(row)) > targets[query];
                         });
        open.clear();
    }

    // Who may be among the best of a query.
    void candidates(int64_t query, int64_t k, std::vector<int64_t>& rows) {
        best[query].cut(k);
        rows.clear();
        for (const Best::One& one : best[query].kept) rows.push_back(one.row);
    }

  private:
    void keep(int64_t query, const Best::One& one, Block& block) {
        Best& mine = best[query];
        if (mine.excluded.holds(one.row)) return;
        mine.kept.push_back(one);
        if (mine.kept.size() < mine.room) return;
        block.border[query] = mine.cut(block.k);
        if (mine.kept.size() <= mine.room - mine.room / 4) return;
        mine.room *= 2;
        if (static_cast<int64_t>(mine.room) <= block.most) return;
        block.found[query].are_too_many = true;  // the bounds tell nothing apart here
        mine.kept.clear();
        block.border[query] = std::numeric_limits<float>::infinity();
    }
    template <class Take>
    void each_score(int64_t query, const int32_t* rows, const int32_t* end, Take&& take) const {
        score_candidates(items.d, end - rows, [&](size_t) { return queries + query * items.d; },
                         [&](size_t i) { return items.at(rows[i]); },
                         [&](size_t i, float score) { take(rows[i], Key(score, static_cast<uint32_t>(rows[i]))); });
    }
};

// Queries that are scanned for together, with what they have found.
struct Group {
    Block block;
    Places places;

    Group(const Items& items, int64_t k, int64_t most)
        : block(items.d, k, most, items.bytes, IN_MEMORY), places(items) {
        block.end = items.codes + items.n_items * items.bytes;
    }
    void scan(const Items& items, int64_t first, int64_t end) {
        for (int64_t at = first; at < end; at += SCANNED) {
            const int here = static_cast<int>(std::min<int64_t>(SCANNED, end - at));
            const uint8_t* codes[SCANNED];
            const float* facts[SCANNED];
            for (int r = 0; r < here; ++r)
                codes[r] = items.codes + (at + r) * items.bytes, facts[r] = items.facts + (at + r) * FACTS;
            vec products[SCANNED][BLOCK / LANES];
            multiply(codes, here, block, products);
            places.add(products, facts, at, here, block);
        }
        places.score_open();
    }
};

// Where answers go: the k best of each query, and places.
struct Answers {
    int64_t* rows;
    int64_t* places;
};

// Writes down what a group has found, once all items are scanned.
class Settling {
    const Items& items;
    const Rows& hidden;
    const Answers& answers;
    const int64_t k;
    std::vector<int64_t> rows;
    std::vector<float> scores, all;
    std::vector<Key> keys;
#ifdef __AVX512VNNI__
    FineQuery fine;
    std::vector<std::pair<float, float>> bounds;
    std::vector<float> lower;
#endif

  public:
    Settling(const Items& items, const Rows& hidden, const Answers& answers, int64_t k)
        : items(items), hidden(hidden), answers(answers), k(k), scores(k)
#ifdef __AVX512VNNI__
          , fine(items.d, items.bytes)
#endif
    {}

    // Of query j of a group, the one of this number.
    void write(Group& group, int64_t j, int64_t number, const float* query) {
        Places& places = group.places;
        const bool by_scores = group.block.found[j].are_too_many;
        if (by_scores) score_all(query, number);
        else write_list(places, j, number, query);
        if (!places.has_target(j)) return;
        const int32_t *out_of = hidden.begin(number), *end = hidden.end(number);
        answers.places[number] = by_scores ? places.place(j, out_of, end, all.data()) : places.place(j, out_of, end);
    }

  private:
    void score_all(const float* query, int64_t number) {
        all.resize(items.n_items);
        recsys_products(query, 1, items.vectors, items.n_items, items.d, nullptr, 0, all.data(), 1);
        recsys_top_k(query, 1, items.vectors, items.n_items, items.d, nullptr, 0, hidden.starts + number, hidden.rows, k,
                     answers.rows + number * k, scores.data(), 1);
    }
    void write_list(Places& places, int64_t j, int64_t number, const float* query) {
        keys.clear();
        places.candidates(j, k, rows);
#ifdef __AVX512VNNI__
        look_closer(fine, query, IN_MEMORY, items.codes, items.facts, k, rows, bounds, lower);
#endif
        score_candidates(items.d, rows.size(), [&](size_t) { return query; }, [&](size_t i) { return items.at(rows[i]); },
                         [&](size_t i, float score) { keys.emplace_back(score, static_cast<uint32_t>(rows[i])); });
        write_best(keys, k, answers.rows + number * k, scores.data());
    }
};

constexpr int64_t GROUPS = 8;     // that look at some items one after the other
constexpr int64_t STRETCH = 192;  // items whose codes and vectors stay at hand for so long

}  // namespace

#endif

// queries (n, d); vectors (n_items, d), coded by recsys_quantise; of query i hidden rows from hidden_starts[i] on and targets
// likewise, ascending -> the k best rows that are not hidden (n, k), filled up with -1, and the place of the best target that
// is not hidden (n,), as it is where there is none. A query with more than `most` candidates is answered by a scan in float32.
extern "C" void recsys_ranks(const float* queries, int64_t n, const float* vectors, const uint8_t* codes, const float* facts,
                             int64_t n_items, int64_t d, const int64_t* hidden_starts, const int32_t* hidden_rows,
                             const int64_t* target_starts, const int32_t* target_rows, int64_t k, int64_t most,
                             int64_t* out_rows, int64_t* out_places, int threads) {
#ifdef MULTIPLIES_BYTES
    const Items items{vectors, codes, facts, n_items, d, rounded_up(d - 1, GROUP)};
    const Rows hidden{hidden_starts, hidden_rows}, targets{target_starts, target_rows};
    const int64_t blocks = (n + BLOCK - 1) / BLOCK, fair = (blocks + threads - 1) / threads;
    const int64_t together = std::max<int64_t>(1, std::min(GROUPS, fair)), tasks = (blocks + together - 1) / together;
    const Answers answers{out_rows, out_places};
#pragma omp parallel num_threads(threads)
    {
        std::vector<std::unique_ptr<Group>> groups;
        Settling settling(items, hidden, answers, k);
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < tasks; ++task) {
            const int64_t begin = task * together * BLOCK, end = std::min(n, begin + together * BLOCK);
            const auto each_group = [&](auto&& f) {
                for (int64_t first = begin, g = 0; first < end; first += BLOCK, ++g) {
                    if (g == static_cast<int64_t>(groups.size())) groups.push_back(std::make_unique<Group>(items, k, most));
                    f(*groups[g], first);
                }
            };
            each_group([&](Group& group, int64_t first) {
                group.block.take(queries + first * d, std::min(BLOCK, n - first), hidden_starts + first, hidden_rows);
                group.places.take(queries + first * d, group.block, first, targets, hidden);
            });
            for (int64_t at = 0; at < n_items; at += STRETCH)
                each_group([&](Group& group, int64_t) { group.scan(items, at, std::min(n_items, at + STRETCH)); });
            each_group([&](Group& group, int64_t first) {
                for (int64_t j = 0; j < group.block.n; ++j)
                    settling.write(group, j, first + j, queries + (first + j) * d);
            });
        }
    }
#endif
}
