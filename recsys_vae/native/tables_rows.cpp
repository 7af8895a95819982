// Rows of numbers: put in order by user, without duplicates, thinned to a k-core.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

constexpr int64_t MICROSECONDS_A_DAY = 86'400'000'000;

}  // namespace

extern "C" {

// What a plain block of a log needs: weights and times checked and converted, rows below `min_weight` counted by user and
// item and left out. Weights are int64 (`whole`) or double, or absent; as float32 they are from `least` to `greatest`.
// Times count `scale` microseconds each, or are absent; all lie in the days from `first_day` on, whose rows are counted
// in `days`, and `future` counts those after `now`. Rows that stay stand at the beginning of `users`, `items`,
// `kept_weights` and `kept_times` then; their number is returned, or -1 where a weight is out of its range.
int64_t recsys_keep_rows(uint32_t* users, uint32_t* items, const void* weights, int32_t whole, const int64_t* times,
                         int64_t n, float least, float greatest, float min_weight, int64_t scale, int64_t now,
                         int64_t first_day, uint32_t* user_lost, uint32_t* item_lost, float* kept_weights,
                         int64_t* kept_times, int64_t* days, int64_t* future) {
    const int64_t* wholes = whole ? static_cast<const int64_t*>(weights) : nullptr;
    const double* decimals = whole ? nullptr : static_cast<const double*>(weights);
    if (weights != nullptr) {
        bool in_range = true;
        for (int64_t row = 0; row < n; ++row) {
            const float weight = static_cast<float>(whole ? static_cast<double>(wholes[row]) : decimals[row]);
            in_range &= weight >= least && weight <= greatest;
            kept_weights[row] = weight;
        }
        if (!in_range) return -1;
    }
    if (times != nullptr)
        for (int64_t row = 0; row < n; ++row) {
            const int64_t time = times[row] * scale;
            kept_times[row] = time;
            ++days[(time - first_day * MICROSECONDS_A_DAY) / MICROSECONDS_A_DAY];
            *future += time > now;
        }
    if (user_lost == nullptr) return n;
    int64_t left = 0;
    for (int64_t row = 0; row < n; ++row) {
        const uint32_t user = users[row], item = items[row];
        const float weight = kept_weights[row];
        if (!(weight >= min_weight)) {
            ++user_lost[user];
            ++item_lost[item];
            continue;
        }
        users[left] = user;
        items[left] = item;
        kept_weights[left] = weight;
        if (times != nullptr) kept_times[left] = kept_times[row];
        ++left;
    }
    return left;
}

// Of each number its place in a table.
void recsys_place(const uint32_t* numbers, int64_t n, const uint32_t* places, uint32_t* found) {
    for (int64_t row = 0; row < n; ++row) found[row] = places[numbers[row]];
}

// Counts the places of numbers in a table.
void recsys_count_places(const uint32_t* numbers, int64_t n, const uint32_t* places, int64_t* counts) {
    for (int64_t row = 0; row < n; ++row) ++counts[places[numbers[row]]];
}

// Puts rows in order of users, and of each user in `order`, ties as they come: fills `rows` with places of rows, and
// `bounds` (users + 1) with where each user's begin.
void recsys_group_users(const uint32_t* users, const int64_t* order, int64_t n, int64_t n_users, uint32_t* rows,
                        int64_t* bounds) {
    std::fill(bounds, bounds + n_users + 1, 0);
    for (int64_t row = 0; row < n; ++row) ++bounds[users[row] + 1];
    for (int64_t user = 0; user < n_users; ++user) bounds[user + 1] += bounds[user];
    std::vector<int64_t> next(bounds, bounds + n_users);
    for (int64_t row = 0; row < n; ++row) rows[next[users[row]]++] = static_cast<uint32_t>(row);
    if (order == nullptr) return;
    for (int64_t user = 0; user < n_users; ++user) {
        uint32_t *first = rows + bounds[user], *end = rows + bounds[user + 1];
        if (end - first > 24) {
            std::stable_sort(first, end, [order](uint32_t one, uint32_t other) { return order[one] < order[other]; });
            continue;
        }
        for (uint32_t* at = first + 1; at < end; ++at) {
            const uint32_t row = *at;
            uint32_t* place = at;
            for (; place > first && order[row] < order[place[-1]]; --place) *place = place[-1];
            *place = row;
        }
    }
}

// Of rows in order of users, marks all but one of each (user, item) as lost: the last stays (keep 0), the first (1), or
// the last of those with the largest weight (2). All rows of a pair that has several are marked as repeated. Both marks
// are zero before.
void recsys_mark_duplicates(const uint32_t* items, const float* weights, const uint32_t* rows, const int64_t* bounds,
                            int64_t n_users, int64_t n_items, int32_t keep, uint8_t* lost, uint8_t* repeated) {
    struct Met {
        uint32_t user;
        uint32_t row;
    };
    std::vector<Met> met_items(static_cast<size_t>(n_items), Met{0xFFFFFFFF, 0});
    for (int64_t user = 0; user < n_users; ++user)
        for (int64_t at = bounds[user]; at < bounds[user + 1]; ++at) {
            const uint32_t row = rows[at];
            Met& met = met_items[items[row]];
            if (met.user != user) {
                met = {static_cast<uint32_t>(user), row};
                continue;
            }
            repeated[row] = repeated[met.row] = 1;
            if (keep == 1 || (keep == 2 && !(weights[row] >= weights[met.row]))) {
                lost[row] = 1;
            } else {
                lost[met.row] = 1;
                met.row = row;
            }
        }
}

// What the two functions above do together for the users from `first_user` up to `end_user`, of rows that have an order and
// nothing but a weight beside it, and for which the last (keep 0) or the first (1) of a pair stays: rows that stay, by user
// and order, are written to `left_...`; the others are counted by user (from the first one on) and by item. Returns how
// many stay. Calls for other users may run beside it.
int64_t recsys_distinct_rows(const uint32_t* users, const uint32_t* items, const float* weights, const int64_t* order,
                             int64_t n, int64_t first_user, int64_t end_user, int64_t n_items, int32_t keep,
                             uint32_t* left_users, uint32_t* left_items, float* left_weights, int64_t* left_order,
                             uint32_t* user_lost, uint32_t* item_lost, uint8_t* repeated) {
    struct Row {
        int64_t order;
        uint32_t item, row;
    };
    struct Met {
        uint32_t user, at;
    };
    constexpr uint32_t NOBODY = 0xFFFFFFFF, LOST_BIT = 1u << 31;
    const uint32_t first = static_cast<uint32_t>(first_user), n_users = static_cast<uint32_t>(end_user - first_user);
    std::vector<uint32_t> ends(static_cast<size_t>(n_users) + 1, 0);
    for (int64_t row = 0; row < n; ++row)
        if (const uint32_t user = users[row] - first; user < n_users) ++ends[user + 1];
    for (uint32_t user = 0; user < n_users; ++user) ends[user + 1] += ends[user];
    // Rows move together, so that what follows reads them one after the other.
    const std::unique_ptr<Row[]> rows(new Row[ends[n_users]]);
    for (int64_t row = 0; row < n; ++row)
        if (const uint32_t user = users[row] - first; user < n_users)
            rows[ends[user]++] = {order[row], items[row], static_cast<uint32_t>(row)};
    std::vector<Met> met_items(static_cast<size_t>(n_items), Met{NOBODY, 0});
    int64_t left = 0;
    const auto before = [](const Row& one, const Row& other) { return one.order < other.order; };
    uint32_t start = 0;
    for (uint32_t user = 0; user < n_users; start = ends[user++]) {
        Row *begin = rows.get() + start, *end = rows.get() + ends[user];
        if (end - begin > 24) {
            std::stable_sort(begin, end, before);
        } else {
            for (Row* at = begin + 1; at < end; ++at) {
                const Row row = *at;
                Row* place = at;
                for (; place > begin && row.order < place[-1].order; --place) *place = place[-1];
                *place = row;
            }
        }
        for (Row* at = begin; at < end; ++at) {
            Met& met = met_items[at->item];
            const uint32_t here = static_cast<uint32_t>(at - begin);
            if (met.user != user) {
                met = {user, here};
                continue;
            }
            repeated[at->row] = repeated[begin[met.at].row & ~LOST_BIT] = 1;
            ++user_lost[user];
            ++item_lost[at->item];
            if (keep == 1) {
                at->row |= LOST_BIT;
            } else {
                begin[met.at].row |= LOST_BIT;
                met.at = here;
            }
        }
        for (Row* at = begin; at < end; ++at) {
            if (at->row & LOST_BIT) continue;
            left_users[left] = user + first;
            left_items[left] = at->item;
            left_weights[left] = weights[at->row];
            left_order[left++] = at->order;
        }
    }
    return left;
}

// One round of the k-core over a part: rows of items that were taken are left out, users with fewer than `min_user`
// rows are taken, and the rows of those that are left are added to `item_counts`. `n` rows shrink to those that are
// left, whose number is returned; `took` tells whether a user was taken.
int64_t recsys_core_round(uint32_t* users, uint32_t* items, int64_t n, const uint8_t* item_taken, int64_t n_users,
                          int64_t min_user, uint8_t* user_taken, int64_t* item_counts, int32_t* took) {
    std::vector<uint32_t> counts(static_cast<size_t>(n_users), 0);
    int64_t left = 0;
    for (int64_t row = 0; row < n; ++row) {
        const uint32_t user = users[row], item = items[row];
        if (item_taken[item]) continue;
        ++counts[user];
        users[left] = user;
        items[left++] = item;
    }
    n = left;
    left = 0;
    for (int64_t row = 0; row < n; ++row) {
        const uint32_t user = users[row], item = items[row];
        if (counts[user] < min_user) {
            user_taken[user] = 1;
            *took = 1;
            continue;
        }
        ++item_counts[item];
        users[left] = user;
        items[left++] = item;
    }
    return left;
}

// Which rows a core has left (1), of the users and items that it took; the others are counted: by user and item where the
// user was taken, in `of_users`, else in `of_items`.
void recsys_core_left(const uint32_t* users, const uint32_t* items, int64_t n, const uint8_t* user_taken,
                      const uint8_t* item_taken, uint8_t* left, uint32_t* const* of_users, uint32_t* const* of_items) {
    for (int64_t row = 0; row < n; ++row) {
        const uint32_t user = users[row], item = items[row];
        left[row] = !user_taken[user] & !item_taken[item];
        if (left[row]) continue;
        uint32_t* const* counts = user_taken[user] ? of_users : of_items;
        ++counts[0][user];
        ++counts[1][item];
    }
}

// Gives memory that is free back to the system.
void recsys_release_memory() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // extern "C"
