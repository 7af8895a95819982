// libFuzzer's target for the loops that read tables of text (recsys_vae/native/tables*.cpp): `make fuzz-readers`.
//
// An input is a file as users have it. It is given to the loops as their Python doors give it (bytes that end with a line
// feed, and a NUL behind them), and what they say is compared with what is found here a byte at a time.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

extern "C" {
int64_t recsys_count_byte(const uint8_t*, int64_t, int32_t);
int64_t recsys_cut_lines(const uint8_t*, int64_t, int32_t, int64_t, const int32_t*, int64_t, uint32_t*, uint32_t*, uint8_t*);
int64_t recsys_whole_numbers(const uint8_t*, const uint32_t*, const uint32_t*, int64_t, int64_t*, uint8_t*);
int64_t recsys_decimals(const uint8_t*, const uint32_t*, const uint32_t*, int64_t, double*, uint8_t*);
int32_t recsys_read_lines(const uint8_t*, int64_t, int32_t, int64_t, const int8_t*, int64_t, void* const*, void* const*, int64_t*);
int32_t recsys_read_json_lines(const uint8_t*, int64_t, const uint8_t*, const uint32_t*, int64_t, int64_t, int8_t*, void* const*,
                               void* const*, int64_t*, int64_t*);
void recsys_gather_texts(const uint8_t*, const uint32_t*, const uint32_t*, int64_t, uint8_t*);
void* recsys_codes_new();
void recsys_codes_free(void*);
int64_t recsys_codes_size(const void*);
int64_t recsys_codes_bytes(const void*, int64_t);
void recsys_codes_texts(const void*, int64_t, uint8_t*, int64_t*);
int64_t recsys_codes_add(void*, const uint8_t*, const uint32_t*, const uint32_t*, int64_t, uint32_t*);
int64_t recsys_codes_of_numbers(const int64_t*, int64_t, uint32_t*, int64_t, uint32_t, uint32_t*, int64_t*);
}

namespace {

enum State : uint8_t { WHOLE, BLANK, MORE_FIELDS, FEWER_FIELDS };
enum Kind : int8_t { LEFT_OUT = -1, WHOLE_NUMBER, DECIMAL, TEXT };
constexpr uint32_t EMPTY = 0xFFFFFFFF;
constexpr int64_t TABLE = 1 << 8;

#define EXPECT(what)                                              \
    do {                                                          \
        if (!(what)) {                                            \
            std::fprintf(stderr, "not so: %s (line %d)\n", #what, __LINE__); \
            std::abort();                                         \
        }                                                         \
    } while (0)

using Texts = std::vector<std::string>;

// Bytes as a Python object holds them: on the heap, by themselves, with a NUL behind.
struct Bytes {
    std::vector<uint8_t> held;
    explicit Bytes(const std::string& text) : held(text.begin(), text.end()) { held.push_back(0); held.shrink_to_fit(); }
    const uint8_t* data() const { return held.data(); }
    int64_t size() const { return static_cast<int64_t>(held.size()) - 1; }
};

Texts cut(const std::string& text, char separator) {
    Texts found(1);
    for (const char one : text) {
        if (one == separator) found.emplace_back();
        else found.back() += one;
    }
    return found;
}

// Lines, each without its line feed.
Texts lines_of(const std::string& text) {
    Texts found = cut(text, '\n');
    found.pop_back();
    return found;
}

bool is_plain_number(const std::string& text, bool with_point) {
    std::string digits = text[0] == '-' ? text.substr(1) : text;
    const size_t point = digits.find('.');
    if ((point != std::string::npos) != with_point) return false;
    if (with_point) digits.erase(point, 1);
    return !digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos;
}

void check_whole(const std::string& text, int64_t number) {
    EXPECT(is_plain_number(text, false));
    EXPECT(std::to_string(number) == text);  // so that its text can be had back
}

void check_decimal(const std::string& text, double number) {
    EXPECT(is_plain_number(text, true) && text[0] != '-');
    EXPECT(std::strtod(text.c_str(), nullptr) == number);
}

// A column of fields, read in all ways.
struct Column {
    std::vector<uint32_t> starts, sizes;
    Texts texts;
};

void check_numbers(const Bytes& bytes, const Column& column) {
    const int64_t n = static_cast<int64_t>(column.texts.size());
    std::vector<int64_t> wholes(n);
    std::vector<double> decimals(n);
    std::vector<uint8_t> known(n);
    const auto check_known = [&](int64_t empty) {
        for (int64_t row = 0; row < n; ++row) {
            EXPECT(known[row] == !column.texts[row].empty());
            empty -= !known[row];
        }
        EXPECT(empty == 0);
    };
    const int64_t empty =
        recsys_whole_numbers(bytes.data(), column.starts.data(), column.sizes.data(), n, wholes.data(), known.data());
    if (empty >= 0) {
        check_known(empty);
        for (int64_t row = 0; row < n; ++row)
            if (known[row]) check_whole(column.texts[row], wholes[row]);
        std::vector<uint32_t> table(TABLE, EMPTY), codes(n);
        std::vector<int64_t> met(std::min(n, TABLE));
        const int64_t added =
            recsys_codes_of_numbers(wholes.data(), n, table.data(), TABLE, 0, codes.data(), met.data());
        for (int64_t row = 0; added >= 0 && row < n; ++row) EXPECT(codes[row] < added && met[codes[row]] == wholes[row]);
    }
    const int64_t none =
        recsys_decimals(bytes.data(), column.starts.data(), column.sizes.data(), n, decimals.data(), known.data());
    if (none < 0) return;
    check_known(none);
    for (int64_t row = 0; row < n; ++row)
        if (known[row]) check_decimal(column.texts[row], decimals[row]);
}

void check_codes(const Bytes& bytes, const Column& column, void* codes, std::map<std::string, uint32_t>& numbers) {
    const int64_t n = static_cast<int64_t>(column.texts.size());
    std::vector<uint32_t> found(n);
    const int64_t empty = recsys_codes_add(codes, bytes.data(), column.starts.data(), column.sizes.data(), n, found.data());
    int64_t none = 0;
    for (int64_t row = 0; row < n; ++row) {
        const std::string& text = column.texts[row];
        none += text.empty();
        const auto known = text.empty() ? EMPTY : numbers.emplace(text, static_cast<uint32_t>(numbers.size())).first->second;
        EXPECT(found[row] == known);
    }
    EXPECT(empty == none && recsys_codes_size(codes) == static_cast<int64_t>(numbers.size()));
    const int64_t first = recsys_codes_size(codes) / 2, size = recsys_codes_bytes(codes, first);
    std::vector<uint8_t> texts(size + 1);
    std::vector<int64_t> ends(recsys_codes_size(codes) - first);
    recsys_codes_texts(codes, first, texts.data(), ends.data());
    EXPECT((ends.empty() ? 0 : ends.back()) == size);
    int64_t begin = 0;
    for (size_t code = 0; code < ends.size(); begin = ends[code++]) {
        const auto known = numbers.find(std::string(texts.begin() + begin, texts.begin() + ends[code]));
        EXPECT(known != numbers.end() && known->second == first + static_cast<int64_t>(code));
    }
}

void check_gathered(const Bytes& bytes, const Column& column) {
    std::string wanted;
    for (const std::string& text : column.texts) wanted += text;
    std::vector<uint8_t> found(wanted.size() + 1);  // numpy's arrays begin somewhere, empty or not
    recsys_gather_texts(bytes.data(), column.starts.data(), column.sizes.data(), column.texts.size(), found.data());
    EXPECT(std::string(found.begin(), found.end() - 1) == wanted);
}

// Every other column is wanted.
void check_cut(const Bytes& bytes, const Texts& lines, const std::vector<Texts>& fields, char separator) {
    const int64_t n = static_cast<int64_t>(lines.size()), columns = static_cast<int64_t>(fields[0].size());
    const int64_t wanted = (columns + 1) / 2;
    std::vector<int32_t> slots(columns, -1);
    for (int64_t slot = 0; slot < wanted; ++slot) slots[2 * slot] = static_cast<int32_t>(slot);
    std::vector<uint32_t> starts(wanted * n), sizes(wanted * n);
    std::vector<uint8_t> states(n);
    const int64_t odd = recsys_cut_lines(bytes.data(), bytes.size(), separator, columns, slots.data(), n, starts.data(),
                                         sizes.data(), states.data());
    int64_t others = 0;
    for (int64_t line = 0; line < n; ++line) {
        const int64_t found = static_cast<int64_t>(fields[line].size());
        const State state = lines[line].empty() ? BLANK
                            : found == columns  ? WHOLE
                            : found > columns   ? MORE_FIELDS
                                                : FEWER_FIELDS;
        EXPECT(states[line] == state);
        others += state != WHOLE;
    }
    EXPECT(odd == others);
    if (odd) return;
    void* codes = recsys_codes_new();
    std::map<std::string, uint32_t> numbers;
    for (int64_t slot = 0; slot < wanted; ++slot) {
        Column column{{starts.begin() + slot * n, starts.begin() + (slot + 1) * n},
                      {sizes.begin() + slot * n, sizes.begin() + (slot + 1) * n}, {}};
        for (int64_t line = 0; line < n; ++line) {
            const uint8_t* at = bytes.data() + column.starts[line];
            column.texts.emplace_back(at, at + column.sizes[line]);
            EXPECT(column.texts.back() == fields[line][2 * slot]);
        }
        check_numbers(bytes, column);
        check_codes(bytes, column, codes, numbers);
        check_gathered(bytes, column);
    }
    recsys_codes_free(codes);
}

// Arrays that take a column of any kind.
struct Room {
    std::vector<std::vector<int64_t>> values;
    std::vector<std::vector<uint32_t>> others;
    std::vector<void*> value_places, other_places;

    Room(size_t columns, size_t lines)
        : values(columns, std::vector<int64_t>(lines)), others(columns, std::vector<uint32_t>(lines)) {
        for (auto& one : values) value_places.push_back(one.data());
        for (auto& one : others) other_places.push_back(one.data());
    }
    int64_t whole(size_t column, size_t line) const { return values[column][line]; }
    double decimal(size_t column, size_t line) const { return reinterpret_cast<const double*>(values[column].data())[line]; }
    bool known(size_t column, size_t line) const { return reinterpret_cast<const uint8_t*>(others[column].data())[line]; }
    std::string text(const Bytes& bytes, size_t column, size_t line) const {
        const uint8_t* at = bytes.data() + reinterpret_cast<const uint32_t*>(values[column].data())[line];
        return {at, at + others[column][line]};
    }
};

// Kinds as the first line has them, as `regular_lines.py` takes them.
void check_read(const Bytes& bytes, const std::vector<Texts>& lines, char separator) {
    std::vector<int8_t> kinds;
    for (const std::string& field : lines[0])
        kinds.push_back(is_plain_number(field, false) ? WHOLE_NUMBER : is_plain_number(field, true) ? DECIMAL : TEXT);
    if (kinds.size() > 2) kinds[1] = LEFT_OUT;
    Room room(kinds.size(), lines.size());
    std::vector<int64_t> empty(kinds.size());
    if (recsys_read_lines(bytes.data(), bytes.size(), separator, kinds.size(), kinds.data(), lines.size(),
                          room.value_places.data(), room.other_places.data(), empty.data()))
        return;
    for (size_t line = 0; line < lines.size(); ++line) {
        const Texts& fields = lines[line];
        EXPECT(fields.size() == kinds.size() && !(fields.size() == 1 && fields[0].empty()));
        for (size_t column = 0; column < kinds.size(); ++column) {
            const std::string& field = fields[column];
            if (kinds[column] == LEFT_OUT) continue;
            empty[column] -= field.empty();
            if (kinds[column] == TEXT) EXPECT(room.text(bytes, column, line) == field);
            else EXPECT(room.known(column, line) == !field.empty());
            if (field.empty()) continue;
            if (kinds[column] == WHOLE_NUMBER) check_whole(field, room.whole(column, line));
            if (kinds[column] == DECIMAL) check_decimal(field, room.decimal(column, line));
        }
    }
    for (const int64_t left : empty) EXPECT(left == 0);
}

// Some of the keys of the first line: what stands between quotes before a colon.
Texts keys_of(const std::string& line) {
    Texts found;
    for (size_t at = 0; at < line.size() && found.size() < 5;) {
        const size_t begin = line.find('"', at), end = begin == std::string::npos ? begin : line.find('"', begin + 1);
        if (end == std::string::npos) break;
        const std::string key = line.substr(begin + 1, end - begin - 1);
        const size_t next = line.find_first_not_of(" \t", end + 1);
        if (next != std::string::npos && line[next] == ':' && !key.empty() &&
            std::find(found.begin(), found.end(), key) == found.end())
            found.push_back(key);
        at = end + 1;
    }
    return found;
}

void check_json(const Bytes& bytes, const Texts& lines) {
    Texts keys = keys_of(lines[0]);
    keys.emplace_back("user_id");
    std::string names;
    std::vector<uint32_t> sizes;
    for (const std::string& key : keys) {
        names += key;
        sizes.push_back(static_cast<uint32_t>(key.size()));
    }
    const Bytes name_bytes(names);
    Room room(keys.size(), lines.size());
    std::vector<int8_t> kinds(keys.size());
    std::vector<int64_t> met(keys.size()), named(keys.size());
    if (recsys_read_json_lines(bytes.data(), bytes.size(), name_bytes.data(), sizes.data(), keys.size(), lines.size(),
                               kinds.data(), room.value_places.data(), room.other_places.data(), met.data(), named.data()))
        return;
    for (size_t key = 0; key < keys.size(); ++key) {
        EXPECT(0 <= met[key] && met[key] <= named[key] && named[key] <= static_cast<int64_t>(lines.size()));
        int64_t values = 0;
        for (size_t line = 0; met[key] && line < lines.size(); ++line) {
            const std::string& text = lines[line];
            EXPECT(text.find('{') != std::string::npos && text.find('}') != std::string::npos);
            if (kinds[key] == TEXT) {
                const std::string value = room.text(bytes, key, line);
                EXPECT(value.empty() || text.find('"' + value + '"') != std::string::npos);
            } else if (room.known(key, line)) {
                ++values;
                if (kinds[key] == WHOLE_NUMBER) EXPECT(text.find(std::to_string(room.whole(key, line))) != std::string::npos);
            }
        }
        EXPECT(kinds[key] == TEXT || values == met[key]);
    }
}

// Of the usual separators, the one that stands in the first line most often.
char separator_of(const std::string& line) {
    char best = ',';
    for (const char one : std::string(",\t;|\x1f "))
        if (std::count(line.begin(), line.end(), one) > std::count(line.begin(), line.end(), best)) best = one;
    return best;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string text(data, data + size);
    if (text.empty() || text.back() != '\n') text += '\n';
    const Bytes bytes(text);
    const Texts lines = lines_of(text);
    const int64_t n = recsys_count_byte(bytes.data(), bytes.size(), '\n');
    EXPECT(n == static_cast<int64_t>(lines.size()));
    const char separator = separator_of(lines[0]);
    std::vector<Texts> fields;
    for (const std::string& line : lines) fields.push_back(cut(line, separator));
    check_cut(bytes, lines, fields, separator);
    check_read(bytes, fields, separator);
    check_json(bytes, lines);
    return 0;
}
