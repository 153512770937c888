// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace bundled {

/// The character that byte-level BPE writes for a byte, as UTF-8: printable bytes stand for themselves, the others are
/// moved to U+0100 and up, in order (GPT-2).
[[nodiscard]] inline std::string byte_character(unsigned byte) {
    auto const is_plain = [](unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b != 173); };
    unsigned code = byte;
    if (!is_plain(byte)) {
        code = 256;
        for (unsigned b = 0; b < byte; ++b) code += is_plain(b) ? 0 : 1;
    }
    if (code < 128) return {static_cast<char>(code)};
    return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

/// A byte-level BPE vocabulary: 3 special tokens, 256 bytes, and one token for each merge.
struct bpe_vocabulary {
    std::vector<std::string> tokens;
    std::vector<std::pair<std::string, std::string>> merges;
};

/// Learns merges from texts of letters, blanks and full stops: again and again the most frequent pair of neighbours inside
/// a word becomes a token; of equally frequent pairs, the first in order of bytes.
///
/// Stops early when every word is one token.
[[nodiscard]] inline bpe_vocabulary train_bpe(std::vector<std::string> const& documents,
                                              std::size_t vocab_size) {
    std::map<std::string, std::size_t> counts;
    for (std::string const& text : documents) {
        for (std::size_t begin = 0; begin < text.size();) {
            auto const is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
            std::size_t end = begin + 1;
            if (text[begin] == ' ' || is_letter(text[begin]))
                while (end < text.size() && is_letter(text[end])) ++end;
            ++counts[text.substr(begin, end - begin)];
            begin = end;
        }
    }

    bpe_vocabulary v{{"<pad>", "<s>", "</s>"}, {}};
    std::map<std::string, unsigned> bytes_in_order;
    for (unsigned b = 0; b < 256; ++b) bytes_in_order.emplace(byte_character(b), b);
    for (auto const& [character, b] : bytes_in_order) v.tokens.push_back(character);

    struct word {
        std::vector<std::string> parts;
        std::size_t count;
    };
    std::vector<word> words;
    for (auto const& [text, count] : counts) {
        word w{{}, count};
        for (char const c : text) w.parts.push_back(byte_character(static_cast<unsigned char>(c)));
        words.push_back(std::move(w));
    }
    while (v.tokens.size() < vocab_size) {
        std::map<std::pair<std::string, std::string>, std::size_t> pairs;
        for (auto const& w : words)
            for (std::size_t i = 1; i < w.parts.size(); ++i) pairs[{w.parts[i - 1], w.parts[i]}] += w.count;
        if (pairs.empty()) break;
        auto best = pairs.begin();
        for (auto p = pairs.begin(); p != pairs.end(); ++p)
            if (p->second > best->second) best = p;
        auto const [left, right] = best->first;
        v.merges.emplace_back(left, right);
        v.tokens.push_back(left + right);
        for (auto& w : words)
            for (std::size_t i = 1; i < w.parts.size(); ++i)
                if (w.parts[i - 1] == left && w.parts[i] == right) {
                    w.parts[i - 1] += right;
                    w.parts.erase(w.parts.begin() + static_cast<std::ptrdiff_t>(i));
                }
    }
    return v;
}

/// The vocabulary as a tokenizer.json of Hugging Face.
[[nodiscard]] inline std::string tokenizer_json(bpe_vocabulary const& v) {
    using json = nlohmann::ordered_json;
    json added = json::array(), vocab = json::object(), merges = json::array();
    for (std::size_t id = 0; id < 3; ++id)
        added.push_back({{"id", id},
                         {"content", v.tokens[id]},
                         {"single_word", false},
                         {"lstrip", false},
                         {"rstrip", false},
                         {"normalized", false},
                         {"special", true}});
    for (std::size_t id = 0; id < v.tokens.size(); ++id) vocab[v.tokens[id]] = id;
    for (auto const& [left, right] : v.merges) merges.push_back(left + " " + right);
    json const bos{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
    json const text{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
        second{{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    json const byte_level{
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
    json const file{
        {"version", "1.0"},
        {"truncation", nullptr},
        {"padding", nullptr},
        {"added_tokens", added},
        {"normalizer", nullptr},
        {"pre_tokenizer", byte_level},
        {"post_processor",
         {{"type", "TemplateProcessing"},
          {"single", json::array({bos, text})},
          {"pair", json::array({bos, text, second})},
          {"special_tokens",
           {{"<s>", {{"id", "<s>"}, {"ids", json::array({1})}, {"tokens", json::array({"<s>"})}}}}}}},
        {"decoder", byte_level},
        {"model",
         {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", vocab},
          {"merges", merges}}}};
    return file.dump() + "\n";
}

}  // namespace bundled
