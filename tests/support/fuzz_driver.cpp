// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// A main for fuzz targets where libFuzzer is not: runs every file of a corpus, then seeded mutations of them.
//
//   TARGET [--runs N] [--seed S] [--only K] [FILE or FOLDER]...
//
// The same seed gives the same inputs on every machine. An input that ends the program is written to
// fuzz-crash-<target> in the working directory, and --only K runs that one mutation again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);
// Present in programs built with a sanitizer, null in others.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using bytes = std::vector<std::uint8_t>;

constexpr std::size_t max_input_size = std::size_t{1} << 20;

// What is running now, for the report of a crash.
bytes current_input;
std::string current_name;
std::string crash_file;

void write_crash_file() {
    std::ofstream file(crash_file, std::ios::binary);
    file.write(reinterpret_cast<char const*>(current_input.data()),
               static_cast<std::streamsize>(current_input.size()));
    std::fprintf(stderr, "fuzz: %s ended the program; its %zu bytes are in %s\n", current_name.c_str(),
                 current_input.size(), crash_file.c_str());
}

[[noreturn]] void fail() {
    write_crash_file();
    std::_Exit(1);
}

void run(std::string name, bytes const& input) {
    current_name = std::move(name);
    current_input = input;
    // A copy of the exact size on the heap, so that a read past the end is seen.
    bytes exact(input.begin(), input.end());
    exact.shrink_to_fit();
    try {
        static_cast<void>(LLVMFuzzerTestOneInput(exact.data(), exact.size()));
    } catch (std::exception const& error) {
        std::fprintf(stderr, "fuzz: uncaught exception: %s\n", error.what());
        fail();
    } catch (...) {
        std::fprintf(stderr, "fuzz: uncaught exception\n");
        fail();
    }
}

/// splitmix64
class random_source {
public:
    explicit random_source(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }
    /// A number below n, n > 0.
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }

private:
    std::uint64_t state_;
};

/// Overwrites 1, 2, 4 or 8 bytes with a number that sizes and offsets like to be wrong about.
void write_extreme_number(bytes& x, random_source& random) {
    constexpr std::uint64_t numbers[] = {
        0,    1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff,
        ~0ULL};
    std::uint64_t const number = numbers[random.below(std::size(numbers))];
    std::size_t const width = std::size_t{1} << random.below(4);
    std::size_t const at = random.below(x.size());
    for (std::size_t i = 0; i < width && at + i < x.size(); ++i) {
        x[at + i] = static_cast<std::uint8_t>(number >> (8 * i));
    }
}

void copy_range(bytes const& from, bytes& to, random_source& random) {
    if (from.empty()) return;
    std::size_t const begin = random.below(from.size());
    std::size_t const length = 1 + random.below(std::min<std::size_t>(from.size() - begin, 64));
    bytes const piece(from.begin() + static_cast<std::ptrdiff_t>(begin),
                      from.begin() + static_cast<std::ptrdiff_t>(begin + length));
    std::size_t const at = random.below(to.size() + 1);
    to.insert(to.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
}

bytes mutated(bytes x, std::vector<bytes> const& corpus, random_source& random) {
    for (std::size_t n = 1 + random.below(8); n-- > 0;) {
        std::size_t const kind = random.below(8);
        if (x.empty() || kind == 0) {
            std::size_t const at = random.below(x.size() + 1);
            x.insert(x.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random.next()));
            continue;
        }
        std::size_t const at = random.below(x.size());
        switch (kind) {
            case 1:
                x[at] = static_cast<std::uint8_t>(random.next());
                break;
            case 2:
                x[at] = static_cast<std::uint8_t>(x[at] ^ (1U << random.below(8)));
                break;
            case 3:
                x[at] = static_cast<std::uint8_t>(x[at] + (random.below(2) == 0 ? 1 : 255));
                break;
            case 4:
                write_extreme_number(x, random);
                break;
            case 5: {
                std::size_t const length = 1 + random.below(std::min<std::size_t>(x.size() - at, 64));
                x.erase(x.begin() + static_cast<std::ptrdiff_t>(at),
                        x.begin() + static_cast<std::ptrdiff_t>(at + length));
                break;
            }
            case 6:
                copy_range(corpus[random.below(corpus.size())], x, random);
                break;
            default:
                x.resize(at);
                break;
        }
    }
    x.resize(std::min(x.size(), max_input_size));
    return x;
}

bytes read_file(std::filesystem::path const& path) {
    std::ifstream file(path, std::ios::binary);
    return bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

[[noreturn]] void usage(char const* problem) {
    std::fprintf(stderr, "fuzz: %s; usage: TARGET [--runs N] [--seed S] [--only K] [FILE or FOLDER]...\n",
                 problem);
    std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t runs = 10000;
    std::uint64_t seed = 1;
    std::uint64_t only = 0;  // mutations are counted from 1; 0 runs all of them
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < argc; ++i) {
        std::string const argument = argv[i];
        if (argument == "--runs" || argument == "--seed" || argument == "--only") {
            if (i + 1 == argc) usage((argument + " needs a number").c_str());
            char* end = nullptr;
            std::uint64_t const value = std::strtoull(argv[++i], &end, 10);
            if (end == argv[i] || *end != '\0') usage((argument + " needs a number").c_str());
            (argument == "--runs" ? runs : argument == "--seed" ? seed : only) = value;
        } else if (std::filesystem::is_directory(argument)) {
            for (auto const& entry : std::filesystem::recursive_directory_iterator(argument)) {
                if (entry.is_regular_file()) files.push_back(entry.path());
            }
        } else if (std::filesystem::is_regular_file(argument)) {
            files.emplace_back(argument);
        } else {
            usage((argument + " is neither a file nor a folder").c_str());
        }
    }
    // Folders list their files in no particular order.
    std::sort(files.begin(), files.end());

    crash_file = "fuzz-crash-" + std::filesystem::path(argv[0]).filename().string();
    if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(write_crash_file);

    std::vector<bytes> corpus{bytes{}};
    for (auto const& file : files) corpus.push_back(read_file(file));
    if (only == 0) {
        run("the empty input", corpus.front());
        for (std::size_t i = 0; i < files.size(); ++i) run(files[i].string(), corpus[i + 1]);
    }
    for (std::uint64_t k = only == 0 ? 1 : only; k <= (only == 0 ? runs : only); ++k) {
        random_source random(seed ^ (k * 0xd1342543de82ef95U));
        bytes const& start = corpus[random.below(corpus.size())];
        run("--seed " + std::to_string(seed) + " --only " + std::to_string(k),
            mutated(start, corpus, random));
    }
    std::printf("fuzz: %zu files and %llu mutations with seed %llu\n", files.size(),
                static_cast<unsigned long long>(only == 0 ? runs : 1), static_cast<unsigned long long>(seed));
    return 0;
}
