// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <commutant/io/detail/merge_pairs.hpp>
#include <commutant/io/detail/text_map.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/mapped_file.hpp>

namespace commutant::io {

/// The tokeniser of llama2.c (tokenizer.bin): a blank in front, characters, then the best-scoring pair
/// again and again.
///
/// Characters that are no token become one token per byte, byte + 3. BOS is 1, EOS is 2. The file does not
/// say how many tokens it holds; that it ends with the last one is checked.
/// Errors    input_error for a bad file; std::invalid_argument for an id out of range
class llama2c_tokenizer {
public:
    static constexpr std::int32_t bos = 1;
    static constexpr std::int32_t eos = 2;

    [[nodiscard]] static llama2c_tokenizer open(std::filesystem::path const& path) {
        mapped_file const file = mapped_file::open(path);
        return llama2c_tokenizer(file.bytes(), path.string());
    }

    /// Parses a file that lies in memory; `where` names it in errors.
    llama2c_tokenizer(std::span<std::byte const> file, std::string const& where) {
        auto const refuse = [&](std::string const& fact) { throw input_error(where, fact); };
        if (file.size() < 4)
            refuse("is " + std::to_string(file.size()) + " bytes long, expected a llama2.c tokenizer");
        std::uint32_t longest = 0;
        std::memcpy(&longest, file.data(), 4);
        if (longest == 0 || longest > max_piece)
            refuse("states a longest token of " + std::to_string(longest) + " bytes, expected 1 to " +
                   std::to_string(max_piece) + " (is this a llama2.c tokenizer?)");
        for (std::size_t at = 4; at < file.size();) {
            std::string const place = "token " + std::to_string(pieces_.size());
            if (file.size() - at < 8) refuse("ends within " + place);
            float score = 0;
            std::uint32_t length = 0;
            std::memcpy(&score, file.data() + at, 4);
            std::memcpy(&length, file.data() + at + 4, 4);
            at += 8;
            if (!std::isfinite(score)) refuse(place + " has a score that is not finite");
            if (length > longest || length > file.size() - at)
                refuse(place + " is " + std::to_string(length) + " bytes long, expected at most " +
                       std::to_string(std::min<std::size_t>(longest, file.size() - at)));
            pieces_.emplace_back(reinterpret_cast<char const*>(file.data()) + at, length);
            scores_.push_back(score);
            at += length;
        }
        if (pieces_.size() < first_byte + 256)
            refuse("holds " + std::to_string(pieces_.size()) + " tokens, expected at least " +
                   std::to_string(first_byte + 256));
        for (std::size_t byte = 0; byte < 256; ++byte)
            if (pieces_[first_byte + byte] != byte_piece(byte))
                refuse("token " + std::to_string(first_byte + byte) + " is " +
                       detail::in_quotes(pieces_[first_byte + byte]) + ", expected " +
                       detail::in_quotes(byte_piece(byte)));
        index_pairs();
    }

    [[nodiscard]] std::size_t vocab_size() const noexcept { return pieces_.size(); }

    /// Ids of a text, without BOS and EOS; nothing for an empty text.
    [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const {
        std::vector<std::int32_t> ids;
        if (text.empty()) return ids;
        append_character(ids, " ");
        for (std::size_t i = 0; i < text.size();) {
            std::size_t end = i + 1;  // a character is a byte and up to three continuation bytes
            while (end < text.size() && end - i < 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
                ++end;
            append_character(ids, text.substr(i, end - i));
            i = end;
        }
        detail::merge_pairs<float>(ids, [&](std::int32_t left, std::int32_t right) {
            auto const found = pairs_.find(detail::pair_key(left, right));
            return found == pairs_.end() ? nullptr : &found->second;
        });
        return ids;
    }

    /// Text of ids; BOS and EOS give nothing, and the blank that encode() put in front is taken away again.
    [[nodiscard]] std::string decode(std::span<std::int32_t const> ids) const {
        std::string out;
        bool at_begin = true;
        for (auto const id : ids) {
            auto const i = static_cast<std::size_t>(id);
            if (id < 0 || i >= pieces_.size())
                throw std::invalid_argument("llama2c_tokenizer: id " + std::to_string(id) +
                                            " is outside [0, " + std::to_string(pieces_.size()) + ")");
            if (id == bos || id == eos) {
                at_begin = true;
                continue;
            }
            std::string_view piece = pieces_[i];
            char const byte = static_cast<char>(static_cast<unsigned char>(i - first_byte));
            if (i >= first_byte && i < first_byte + 256) piece = std::string_view(&byte, 1);
            if (at_begin && piece.substr(0, 1) == " ") piece.remove_prefix(1);
            at_begin = false;
            out += piece;
        }
        return out;
    }

private:
    static constexpr std::size_t first_byte = 3;
    static constexpr std::uint32_t max_piece = 256;  ///< bounds the search for pairs, which tries every cut

    static std::string byte_piece(std::size_t byte) {
        constexpr std::string_view digits = "0123456789ABCDEF";
        return std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">";
    }

    /// Finds every way in which two tokens spell a third one; of tokens spelled alike only the first counts.
    void index_pairs() {
        for (std::size_t i = 0; i < pieces_.size(); ++i)
            by_piece_.emplace(pieces_[i], static_cast<std::int32_t>(i));
        for (auto const& [text, id] : by_piece_) {
            float const score = scores_[static_cast<std::size_t>(id)];
            if (score <= -1e10f) continue;  // llama2.c starts its search for the best score there
            std::string_view const whole = text;
            for (std::size_t cut = 1; cut < whole.size(); ++cut) {
                auto const left = by_piece_.find(whole.substr(0, cut));
                auto const right = by_piece_.find(whole.substr(cut));
                if (left == by_piece_.end() || right == by_piece_.end()) continue;
                pairs_.emplace(detail::pair_key(left->second, right->second),
                               detail::merge_rule<float>{-score, id});
            }
        }
    }

    void append_character(std::vector<std::int32_t>& ids, std::string_view character) const {
        if (auto const found = by_piece_.find(character); found != by_piece_.end()) {
            ids.push_back(found->second);
            return;
        }
        for (char const c : character)
            ids.push_back(static_cast<std::int32_t>(first_byte + static_cast<unsigned char>(c)));
    }

    std::vector<std::string> pieces_{};
    std::vector<float> scores_{};
    detail::text_map<std::int32_t> by_piece_{};  ///< the first id of each spelling
    std::unordered_map<unsigned long long, detail::merge_rule<float>> pairs_{};
};

}  // namespace commutant::io
