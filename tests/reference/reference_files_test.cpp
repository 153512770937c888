// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// The reference's readers on small files written here, and its tokeniser against the plain scan it stands
// for.

#include "reference_files.hpp"
#include "reference_protocol.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>

namespace {

// A file in the temporary folder that goes when the test ends.
class scratch_file {
public:
    explicit scratch_file(const std::string& bytes) {
        std::random_device random;
        path_ = (std::filesystem::temp_directory_path() / ("reference_" + std::to_string(random()) + ".bin"))
                    .string();
        std::ofstream(path_, std::ios::binary) << bytes;
    }
    ~scratch_file() { std::filesystem::remove(path_); }
    scratch_file(const scratch_file&) = delete;
    scratch_file& operator=(const scratch_file&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

template <class T> std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
    return raw(static_cast<std::uint64_t>(header.size())) + header + data;
}

std::string message_of(const std::string& path) {
    try {
        (void)reference::read_safetensors(path);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "nothing was thrown";
}

struct piece {
    std::string text;
    float score;
};

std::string tokeniser_bytes(const std::vector<piece>& pieces) {
    std::string bytes = raw(std::uint32_t{8});
    for (const piece& p : pieces) {
        bytes += raw(p.score) + raw(static_cast<std::uint32_t>(p.text.size())) + p.text;
    }
    return bytes;
}

// 3 specials, 256 byte tokens, then the given pieces from index 259 on.
std::vector<piece> with_bytes(const std::vector<piece>& more) {
    std::vector<piece> all{{"<unk>", 0}, {"<s>", 0}, {"</s>", 0}};
    for (int byte = 0; byte < 256; ++byte) {
        all.push_back({"<byte " + std::to_string(byte) + ">", 0});
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

std::vector<int> encode_with(const std::vector<piece>& pieces, const std::string& text) {
    const scratch_file file(tokeniser_bytes(pieces));
    return reference::llama2c_tokeniser(file.path(), pieces.size()).encode(text);
}

}  // namespace

TEST_CASE("read_safetensors: a file known byte by byte", "[reference][io]") {
    std::string bytes("\x38\0\0\0\0\0\0\0", 8);
    bytes += R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  )";
    bytes += std::string("\0\0\x80\x3f\0\0\0\x40", 8);
    REQUIRE(bytes.size() == 72);
    const scratch_file file(bytes);
    const auto tensors = reference::read_safetensors(file.path());
    REQUIRE(tensors.size() == 1);
    CHECK(tensors.at("t").shape == std::vector<std::size_t>{2});
    CHECK(tensors.at("t").values == std::vector<double>{1, 2});
}

TEST_CASE("read_safetensors: halves, brain floats and integers keep their values", "[reference][io]") {
    const std::string header =
        R"({"__metadata__":{"format":"pt"},"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]},)"
        R"("b":{"dtype":"BF16","shape":[1,2],"data_offsets":[12,16]},)"
        R"("i":{"dtype":"I32","shape":[1],"data_offsets":[16,20]},)"
        R"("l":{"dtype":"I64","shape":[],"data_offsets":[20,28]}})";
    std::string data;
    for (const int bits : {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00, 0x3555}) {
        data += raw(static_cast<std::uint16_t>(bits));
    }
    for (const int bits : {0x3F80, 0xC049}) {
        data += raw(static_cast<std::uint16_t>(bits));
    }
    data += raw(std::int32_t{-7}) + raw(std::int64_t{1} << 40);
    const scratch_file file(safetensors_bytes(header, data));
    const auto tensors = reference::read_safetensors(file.path());
    // 0x3555 is 1365 / 1024 * 2^-2, the half next to one third.
    CHECK(tensors.at("h").values == std::vector<double>{1, -2, 0x1p-24, 65504, HUGE_VAL, 1365.0 / 4096});
    CHECK(tensors.at("b").values == std::vector<double>{1, -3.140625});
    CHECK(tensors.at("b").shape == std::vector<std::size_t>{1, 2});
    CHECK(tensors.at("i").values == std::vector<double>{-7});
    CHECK(tensors.at("l").values == std::vector<double>{0x1p40});
    CHECK(tensors.at("l").shape.empty());
}

TEST_CASE("read_safetensors: a file that lies is refused by name", "[reference][io]") {
    using Catch::Matchers::EndsWith;
    const scratch_file beyond(
        safetensors_bytes(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234"));
    CHECK_THAT(message_of(beyond.path()),
               EndsWith(": tensor t has data_offsets 0 to 8, expected 8 bytes inside the 4 of the file"));
    const scratch_file wrong(
        safetensors_bytes(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234"));
    CHECK_THAT(message_of(wrong.path()),
               EndsWith(": tensor t has data_offsets 0 to 4, expected 8 bytes inside the 4 of the file"));
    const scratch_file dtype(
        safetensors_bytes(R"({"t":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "1"));
    CHECK_THAT(message_of(dtype.path()),
               EndsWith(": tensor t has dtype F8_E4M3, expected F32, F16, BF16, I32 or I64"));
    const scratch_file header(raw(std::uint64_t{1000}) + "{}");
    CHECK_THAT(message_of(header.path()), EndsWith(": ends at byte 10, expected 1000 more after byte 8"));
    CHECK_THAT(message_of("/does/not/exist"), EndsWith("/does/not/exist: cannot be opened"));
}

TEST_CASE("read_llama2c: every weight comes from its place", "[reference][io]") {
    // dim 4, hidden 3, 2 layers, 2 heads, 1 kv head, vocabulary 2 (negative: untied), seq 5. Values count
    // upwards.
    std::string bytes;
    for (const int h : {4, 3, 2, 2, 1, -2, 5}) {
        bytes += raw(std::int32_t{h});
    }
    // embedding 8; norms 8; q 32; k 16; v 16; o 32; norms 8; gate 24; down 24; up 24; final 4; tables 10;
    // head 8
    for (int i = 0; i < 214; ++i) {
        bytes += raw(static_cast<float>(i));
    }
    const scratch_file file(bytes);
    const auto m = reference::read_llama2c(file.path());
    CHECK(m.geometry.head_dim == 2);
    CHECK(m.geometry.vocab_size == 2);
    CHECK(m.geometry.seq_len == 5);
    CHECK(m.geometry.rms_norm_eps == 1e-5);
    CHECK(m.geometry.pairing == reference::rope_pairing::interleaved);
    const auto& first = m.values.layers.at(0);
    const auto& second = m.values.layers.at(1);
    CHECK(m.values.embedding.back() == 7);
    CHECK(second.attention_norm.front() == 12);
    CHECK(first.q_proj.front() == 16);
    CHECK(second.q_proj.back() == 47);
    CHECK(second.k_proj.front() == 56);
    CHECK(first.v_proj.front() == 64);
    CHECK(second.o_proj.front() == 96);
    CHECK(first.ffn_norm.front() == 112);
    CHECK(first.gate_proj.front() == 120);
    CHECK(first.down_proj.front() == 144);
    CHECK(second.up_proj.back() == 191);
    CHECK(m.values.final_norm.front() == 192);
    CHECK(m.values.lm_head.front() == 206);
    CHECK(m.values.lm_head.back() == 213);

    const scratch_file longer(bytes + "x");
    CHECK_THROWS_WITH(reference::read_llama2c(longer.path()),
                      Catch::EndsWith(": has 1 bytes behind the last weight, expected none"));
    const scratch_file shorter(bytes.substr(0, bytes.size() - 1));
    CHECK_THROWS_WITH(reference::read_llama2c(shorter.path()),
                      Catch::EndsWith(": ends at byte 883, expected 32 more after byte 852"));
}

TEST_CASE("llama2c_tokeniser: best score first, leftmost of equals, bytes for the unknown",
          "[reference][tokeniser]") {
    // Index:                          259       260       261       262         263         264          265
    const auto pieces =
        with_bytes({{" ", 0}, {"a", 0}, {"b", 0}, {"ab", -2}, {"ba", -1}, {" a", -3}, {"abab", -9}});
    // " abab": "ba" (-1) beats "ab" (-2), so the blank keeps "a": then " a" (-3), and what is left does not
    // join.
    CHECK(encode_with(pieces, "abab") == std::vector<int>{264, 263, 261});
    // " aaa" with a piece "aa": of two equal pairs the left one joins.
    const auto doubled = with_bytes({{" ", 0}, {"a", 0}, {"aa", -1}});
    CHECK(encode_with(doubled, "aaa") == std::vector<int>{259, 261, 260});
    // e acute is two bytes, C3 A9, and no piece: byte tokens 0xC3 + 3, 0xA9 + 3. So is the blank: 0x20 + 3.
    CHECK(encode_with(with_bytes({{"a", 0}}), "a\xC3\xA9") == std::vector<int>{35, 259, 198, 172});
    // As a piece of the vocabulary it is one token.
    CHECK(encode_with(with_bytes({{" ", 0}, {"\xC3\xA9", 0}}), "\xC3\xA9") == std::vector<int>{259, 260});
    CHECK(encode_with(pieces, "").empty());
}

TEST_CASE("llama2c_tokeniser: a file of another vocabulary is refused", "[reference][tokeniser]") {
    const auto pieces = with_bytes({{"a", 0}});
    const scratch_file file(tokeniser_bytes(pieces));
    CHECK_THROWS_WITH(reference::llama2c_tokeniser(file.path(), pieces.size() - 1),
                      Catch::EndsWith(": has more than the expected 259 pieces"));
    CHECK_THROWS_WITH(reference::llama2c_tokeniser(file.path(), pieces.size() + 1),
                      Catch::Contains(": ends at byte"));
}

TEST_CASE("llama2c_tokeniser: the queue gives what scanning all pairs gives", "[reference][tokeniser]") {
    // Random pieces over three letters with few different scores, so that ties abound.
    std::mt19937 random(7);
    std::vector<piece> more{{" ", 0}, {"a", 0}, {"b", 0}, {"c", 0}};
    const auto known = [&](const std::string& text) {
        for (std::size_t i = 0; i < more.size(); ++i) {
            if (more[i].text == text) {
                return static_cast<int>(i);
            }
        }
        return -1;
    };
    while (more.size() < 60) {
        const std::string joined = more[random() % more.size()].text + more[random() % more.size()].text;
        if (joined.size() < 7 && known(joined) == -1) {
            more.push_back({joined, -static_cast<float>(random() % 5)});
        }
    }
    const auto pieces = with_bytes(more);
    const scratch_file file(tokeniser_bytes(pieces));
    const reference::llama2c_tokeniser tokeniser(file.path(), pieces.size());
    for (int round = 0; round < 200; ++round) {
        std::string text;
        for (std::size_t length = random() % 60; text.size() < length;) {
            text += "abc "[random() % 4];
        }
        std::vector<int> scan;
        if (!text.empty()) {
            for (const char letter : " " + text) {
                scan.push_back(known(std::string(1, letter)));
            }
        }
        for (;;) {
            std::size_t best = scan.size();
            int best_union = -1;
            for (std::size_t i = 0; i + 1 < scan.size(); ++i) {
                const int joined = known(more[static_cast<std::size_t>(scan[i])].text +
                                         more[static_cast<std::size_t>(scan[i + 1])].text);
                if (joined >= 0 && (best_union < 0 || more[static_cast<std::size_t>(joined)].score >
                                                          more[static_cast<std::size_t>(best_union)].score)) {
                    best = i;
                    best_union = joined;
                }
            }
            if (best_union < 0) {
                break;
            }
            scan[best] = best_union;
            scan.erase(scan.begin() + static_cast<std::ptrdiff_t>(best) + 1);
        }
        for (int& token : scan) {
            token += 259;
        }
        INFO("text '" << text << "'");
        CHECK(tokeniser.encode(text) == scan);
    }
}

TEST_CASE("documents: what lies between separators, without white space at the ends",
          "[reference][protocol]") {
    const auto found =
        reference::documents(" one\ntwo \n<|endoftext|>\n\n<|endoftext|>\n three\n<|endoftext|>\n");
    CHECK(found == std::vector<std::string>{"one\ntwo", "three"});
    CHECK(reference::documents("alone") == std::vector<std::string>{"alone"});
    CHECK(reference::documents("").empty());
}

TEST_CASE("protocol_windows: BOS before each window, none across documents, cut at the limits",
          "[reference][protocol]") {
    // One token per byte.
    const auto encode = [](std::string_view text) { return std::vector<int>(text.begin(), text.end()); };
    const std::string text = "abcdefg\n<|endoftext|>\nhi\n<|endoftext|>\njkl";
    using windows = std::vector<std::vector<int>>;
    const windows all{{1, 'a', 'b', 'c'}, {1, 'd', 'e', 'f'}, {1, 'g'}, {1, 'h', 'i'}, {1, 'j', 'k', 'l'}};
    CHECK(reference::protocol_windows(text, 4, encode) == all);
    CHECK(reference::protocol_windows(text, 4, encode, {8, 40, 2}) ==
          windows{{2, 'a', 'b', 'c'}, {2, 'd', 'e', 'f'}, {2, 'g'}, {2, 'h'}});
    CHECK(reference::protocol_windows(text, 8, encode, {100, 2, 1}) ==
          windows{{1, 'a', 'b', 'c', 'd', 'e', 'f', 'g'}, {1, 'h', 'i'}});
}

TEST_CASE("nll_per_token: a mean over predictions, not over windows", "[reference][protocol]") {
    // A model that ignores its input: no layers, embeddings 0 except that the head is not the embedding, so
    // all logits are 0 and every prediction costs ln 4 whatever the windows are.
    reference::config c;
    c.model_dim = 2;
    c.n_heads = c.n_kv_heads = 1;
    c.head_dim = c.rotary_dim = 2;
    c.vocab_size = 4;
    reference::weights w;
    w.embedding = {1, 1, 1, -1, -1, 1, -1, -1};
    w.final_norm = {1, 1};
    w.lm_head = std::vector<double>(8, 0.0);
    CHECK(reference::nll_per_token(c, w, {{1, 2, 3}, {1}, {1, 0}}) == Approx(std::log(4.0)).epsilon(1e-14));

    // With a head that favours token 0 after token 0: uneven windows tell the two means apart.
    w.lm_head = {1, 1, 0, 0, 0, 0, 0, 0};
    const double after_0 =
        -std::log(std::exp(2.0) / (std::exp(2.0) + 3));  // logits 2, 0, 0, 0 (norm of (1, 1), eps 0)
    const double after_3 = -std::log(std::exp(-2.0) / (std::exp(-2.0) + 3));  // logits -2, 0, 0, 0
    c.rms_norm_eps = 0.0;
    CHECK(reference::nll_per_token(c, w, {{0, 0, 0}, {3, 0}}) ==
          Approx((2 * after_0 + after_3) / 3).epsilon(1e-14));
    CHECK_THROWS_WITH(reference::nll_per_token(c, w, {{1}}),
                      "reference: windows hold no token behind BOS, expected at least one to predict");
}
