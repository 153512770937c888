// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/detail/merge_pairs.hpp>
#include <commutant/io/detail/text_map.hpp>
#include <commutant/io/detail/tokenizer_json.hpp>
#include <commutant/io/detail/unicode_nfc.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/json.hpp>
#include <commutant/io/mapped_file.hpp>

namespace commutant::io {

/// Byte-level BPE as a tokenizer.json of Hugging Face describes it (GPT-2, Llama 3, Qwen 2 and their kind).
///
/// Normalisation is none or NFC. Texts are split by one of the rules in detail/split_rule.hpp, with letters
/// and numbers as of Unicode 15.0, and runs of digits where the file asks for it. Settings for truncation
/// and padding are not applied. Whatever else a file asks for (other models, normalisers, expressions,
/// stripping added tokens) is refused.
/// Errors    input_error for a bad file or a text that is not UTF-8; std::invalid_argument for an id out of
///           range
class bpe_tokenizer {
public:
    [[nodiscard]] static bpe_tokenizer open(std::filesystem::path const& path) {
        mapped_file const file = mapped_file::open(path);
        return bpe_tokenizer(file.text(), path.string());
    }

    /// Parses the text of a tokenizer.json; `where` names it in errors.
    bpe_tokenizer(std::string_view text, std::string const& where)
        : bpe_tokenizer(detail::parse_tokenizer_json(text, where)) {}

    /// One more than the largest id.
    [[nodiscard]] std::size_t vocab_size() const noexcept { return facts_.tokens.size(); }

    /// Ids that the post-processor puts in front of a text, and behind it.
    [[nodiscard]] std::vector<std::int32_t> const& prefix() const noexcept { return facts_.prefix; }
    [[nodiscard]] std::vector<std::int32_t> const& suffix() const noexcept { return facts_.suffix; }

    /// Id of an added token, such as "</s>".
    [[nodiscard]] std::optional<std::int32_t> find_added(std::string_view content) const {
        for (auto const& token : facts_.added)
            if (token.content == content) return token.id;
        return std::nullopt;
    }

    /// Ids of a text; added tokens that it spells are recognised, the post-processor is not applied.
    [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const {
        if (auto const bad = detail::find_invalid_utf8(text))
            throw input_error("text", "is not UTF-8 at byte " + std::to_string(*bad));
        std::vector<std::int32_t> ids;
        word_cache cache;
        split_added(
            text, false,
            [&](std::string_view outer) {
                std::string const normalized = facts_.nfc ? detail::normalized_nfc(outer) : std::string();
                split_added(
                    facts_.nfc ? std::string_view(normalized) : outer, true,
                    [&](std::string_view part) { encode_part(part, ids, cache); }, ids);
            },
            ids);
        return ids;
    }

    /// Text of ids; special tokens give nothing.
    [[nodiscard]] std::string decode(std::span<std::int32_t const> ids) const {
        std::string out;
        for (auto const id : ids) {
            if (id < 0 || static_cast<std::size_t>(id) >= facts_.tokens.size())
                throw std::invalid_argument("bpe_tokenizer: id " + std::to_string(id) + " is outside [0, " +
                                            std::to_string(facts_.tokens.size()) + ")");
            if (!facts_.is_special[static_cast<std::size_t>(id)])
                out += facts_.tokens[static_cast<std::size_t>(id)];
        }
        return out;
    }

private:
    using word_cache = detail::text_map<std::vector<std::int32_t>>;

    explicit bpe_tokenizer(detail::tokenizer_json facts) : facts_(std::move(facts)) {
        for (std::size_t i = 0; i < facts_.added.size(); ++i) {
            auto const first = static_cast<unsigned char>(facts_.added[i].content.front());
            added_by_byte_[first].push_back(i);
        }
        for (auto& candidates : added_by_byte_)  // the longest first
            std::sort(candidates.begin(), candidates.end(), [&](std::size_t a, std::size_t b) {
                return facts_.added[a].content.size() > facts_.added[b].content.size();
            });
    }

    /// Cuts out the added tokens of one of the two kinds, and hands what is between them to `rest`, in order.
    template <class Rest>
    void split_added(std::string_view text, bool normalized, Rest const& rest,
                     std::vector<std::int32_t>& ids) const {
        std::size_t begin = 0;
        for (std::size_t i = 0; i < text.size();) {
            detail::added_token const* match = nullptr;
            for (std::size_t const candidate : added_by_byte_[static_cast<unsigned char>(text[i])]) {
                auto const& token = facts_.added[candidate];
                if (token.normalized != normalized || text.substr(i, token.content.size()) != token.content)
                    continue;
                match = &token;
                break;
            }
            if (match == nullptr) {
                ++i;
                continue;
            }
            if (i > begin) rest(text.substr(begin, i - begin));
            ids.push_back(match->id);
            i += match->content.size();
            begin = i;
        }
        if (begin < text.size()) rest(text.substr(begin));
    }

    void encode_part(std::string_view part, std::vector<std::int32_t>& ids, word_cache& cache) const {
        std::string with_blank;
        if (facts_.add_prefix_space && part.front() != ' ') {
            with_blank = " " + std::string(part);
            part = with_blank;
        }
        encode_split(part, 0, ids, cache);
    }

    /// Applies the splitting steps from `step` on, then encodes what they leave.
    void encode_split(std::string_view part, std::size_t step, std::vector<std::int32_t>& ids,
                      word_cache& cache) const {
        if (step == facts_.splits.size()) {
            encode_word(part, ids, cache);
            return;
        }
        auto const& split = facts_.splits[step];
        for (std::size_t i = 0; i < part.size();) {
            std::size_t const end = split.end_of_piece(part, i);
            encode_split(part.substr(i, end - i), step + 1, ids, cache);
            i = end;
        }
    }

    void encode_word(std::string_view word, std::vector<std::int32_t>& ids, word_cache& cache) const {
        constexpr std::size_t longest_cached = 64;
        if (auto const known = cache.find(word); known != cache.end()) {
            ids.insert(ids.end(), known->second.begin(), known->second.end());
            return;
        }
        std::vector<std::int32_t> tokens;
        auto const whole = facts_.ignore_merges ? facts_.ids.find(word) : facts_.ids.end();
        if (whole != facts_.ids.end()) {
            tokens.push_back(whole->second);
        } else {
            tokens.reserve(word.size());
            for (char const c : word) tokens.push_back(facts_.byte_ids[static_cast<unsigned char>(c)]);
            detail::merge_pairs<std::uint32_t>(tokens, [&](std::int32_t left, std::int32_t right) {
                auto const found = facts_.merges.find(detail::pair_key(left, right));
                return found == facts_.merges.end() ? nullptr : &found->second;
            });
        }
        ids.insert(ids.end(), tokens.begin(), tokens.end());
        if (word.size() <= longest_cached) cache.emplace(std::string(word), std::move(tokens));
    }

    detail::tokenizer_json facts_;
    std::array<std::vector<std::size_t>, 256> added_by_byte_{};  ///< added tokens by first byte
};

}  // namespace commutant::io
