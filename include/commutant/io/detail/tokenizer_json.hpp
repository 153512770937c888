// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/detail/merge_pairs.hpp>
#include <commutant/io/detail/split_rule.hpp>
#include <commutant/io/detail/text_map.hpp>
#include <commutant/io/detail/unicode.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/json.hpp>

namespace commutant::detail {

/// A token that is cut out of the text before anything is split.
struct added_token {
    std::string content{};
    std::int32_t id = 0;
    bool special = false;
    bool normalized = false;  ///< looked for in the normalised text
};

/// One step of a pre-tokeniser.
struct split_step {
    enum class kind { rule, digit_runs, single_digits };
    kind what = kind::rule;
    split_rule rule{};

    /// End of the piece that begins at i.
    [[nodiscard]] std::size_t end_of_piece(std::string_view text, std::size_t i) const {
        if (what == kind::rule) return match_end(rule, text, i);
        char_reader const reader(text);
        auto const first = reader.at(i);
        if (first.kind == char_class::number)
            return what == kind::single_digits ? i + first.length : reader.run_end(i, char_class::number);
        while (i < text.size()) {
            auto const here = reader.at(i);
            if (here.kind == char_class::number) break;
            i += here.length;
        }
        return i;
    }
};

/// A byte-level BPE tokeniser, out of its file and checked.
struct tokenizer_json {
    std::vector<std::string> tokens{};  ///< bytes by id; empty where an id is not used
    std::vector<bool> is_special{};
    text_map<std::int32_t> ids{};  ///< by bytes; without the added tokens
    std::array<std::int32_t, 256> byte_ids{};
    std::unordered_map<unsigned long long, merge_rule<std::uint32_t>> merges{};
    std::vector<added_token> added{};
    std::vector<split_step> splits{};
    std::vector<std::int32_t> prefix{};
    std::vector<std::int32_t> suffix{};
    bool nfc = false;
    bool add_prefix_space = false;
    bool ignore_merges = false;
};

/// Code point that stands for a byte in byte-level vocabularies: printable ones for themselves, the others
/// from U+0100 on.
[[nodiscard]] inline std::array<std::uint32_t, 256> const& byte_characters() {
    static auto const table = [] {
        std::array<std::uint32_t, 256> out{};
        std::uint32_t next = 256;
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            bool const printable =
                (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
            out[byte] = printable ? byte : next++;
        }
        return out;
    }();
    return table;
}

/// Reads tokenizer.json piece by piece; each refusal says what is not supported.
class tokenizer_json_reader {
public:
    explicit tokenizer_json_reader(std::string where) : where_(std::move(where)) {
        for (std::uint32_t byte = 0; byte < 256; ++byte) byte_of_.emplace(byte_characters()[byte], byte);
    }

    [[nodiscard]] tokenizer_json read(std::string_view text) {
        auto const json = io::parse_json(text, where_);
        if (!json.is_object()) refuse("is not a JSON object");
        auto const& model = member(json, "model");
        if (!model.is_object()) refuse("has no model object");
        read_model(model);
        read_added(member(json, "added_tokens"));
        read_normalizer(member(json, "normalizer"));
        read_pre_tokenizer(member(json, "pre_tokenizer"));
        read_post_processor(member(json, "post_processor"));
        if (type_of(member(json, "decoder")) != "ByteLevel")
            refuse("has decoder " + type_of(member(json, "decoder")) + ", expected ByteLevel");
        return std::move(out_);
    }

private:
    using json_value = nlohmann::json;

    [[noreturn]] void refuse(std::string const& fact) const { throw io::input_error(where_, fact); }

    static json_value const& member(json_value const& object, char const* key) {
        static json_value const nothing;
        auto const found = object.is_object() ? object.find(key) : object.end();
        return found == object.end() ? nothing : *found;
    }

    /// The "type" of a part, or "none" for null.
    static std::string type_of(json_value const& part) {
        if (part.is_null()) return "none";
        auto const& type = member(part, "type");
        return type.is_string() ? type.get<std::string>() : "without a type";
    }

    static bool is_true(json_value const& value) { return value.is_boolean() && value.get<bool>(); }

    [[nodiscard]] bool flag(json_value const& object, char const* key, bool otherwise) const {
        auto const& value = member(object, key);
        if (value.is_null()) return otherwise;
        if (!value.is_boolean())
            refuse(std::string(key) + " is " + value.dump() + ", expected true or false");
        return value.get<bool>();
    }

    /// An id below `limit`.
    [[nodiscard]] std::int32_t checked_id(json_value const& value, std::size_t limit,
                                          std::string const& what) const {
        if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= limit)
            refuse(what + " has id " + value.dump() + ", expected a whole number below " +
                   std::to_string(limit));
        return value.get<std::int32_t>();
    }

    /// Bytes that a token of a byte-level vocabulary spells, if it is one.
    [[nodiscard]] std::optional<std::string> spelled_bytes(std::string_view token) const {
        std::string bytes;
        for (std::size_t i = 0; i < token.size();) {
            auto const here = decode_utf8(token, i);
            auto const found = byte_of_.find(here.code_point);
            if (here.length == 0 || found == byte_of_.end()) return std::nullopt;
            bytes += static_cast<char>(static_cast<unsigned char>(found->second));
            i += here.length;
        }
        return bytes;
    }

    void set_token(std::int32_t id, std::string bytes) {
        auto const i = static_cast<std::size_t>(id);
        if (i >= out_.tokens.size()) {
            out_.tokens.resize(i + 1);
            out_.is_special.resize(i + 1);
            used_.resize(i + 1);
        }
        out_.tokens[i] = std::move(bytes);
        used_[i] = true;
    }

    void read_model(json_value const& model) {
        if (auto const& type = member(model, "type"); !type.is_null() && type != "BPE")
            refuse("has a model of type " + type.dump() + ", expected \"BPE\"");
        if (auto const& dropout = member(model, "dropout"); !dropout.is_null() && dropout != 0.0)
            refuse("has BPE dropout " + dropout.dump() + ", expected none");
        for (char const* key : {"continuing_subword_prefix", "end_of_word_suffix"})
            if (auto const& value = member(model, key); !value.is_null() && value != "")
                refuse(std::string("has ") + key + " " + value.dump() + ", expected none");
        if (flag(model, "byte_fallback", false))
            refuse("has byte_fallback (a SentencePiece vocabulary), expected byte-level BPE");
        out_.ignore_merges = flag(model, "ignore_merges", false);

        auto const& vocab = member(model, "vocab");
        if (!vocab.is_object() || vocab.empty()) refuse("has no vocab object");
        // Ids may leave some out, but not so many that a short file asks for a long table.
        std::size_t const limit = 2 * vocab.size() + 4096;
        for (auto const& [token, id] : vocab.items()) {
            auto const number = checked_id(id, limit, "token " + in_quotes(token));
            if (static_cast<std::size_t>(number) < used_.size() && used_[static_cast<std::size_t>(number)])
                refuse("gives id " + std::to_string(number) + " to " + in_quotes(token) +
                       " and to another token");
            id_of_.emplace(token, number);
            auto bytes = spelled_bytes(token);
            if (bytes) out_.ids.emplace(*bytes, number);
            set_token(number, bytes ? std::move(*bytes) : token);
        }
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            auto const found =
                out_.ids.find(std::string(1, static_cast<char>(static_cast<unsigned char>(byte))));
            if (found == out_.ids.end())
                refuse("has no token for byte " + std::to_string(byte) +
                       ", expected a byte-level vocabulary");
            out_.byte_ids[byte] = found->second;
        }
        read_merges(member(model, "merges"));
    }

    void read_merges(json_value const& merges) {
        if (!merges.is_array()) refuse("has no merges array");
        std::uint32_t rank = 0;
        for (auto const& merge : merges) {
            std::string left;
            std::string right;
            if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
                left = merge[0].get<std::string>();
                right = merge[1].get<std::string>();
            } else if (merge.is_string()) {
                auto const& text = merge.get_ref<std::string const&>();
                auto const blank = text.find(' ');
                if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos)
                    refuse("merge " + std::to_string(rank) + " is " + in_quotes(text) +
                           ", expected two tokens");
                left = text.substr(0, blank);
                right = text.substr(blank + 1);
            } else {
                refuse("merge " + std::to_string(rank) + " is " + merge.dump() + ", expected two tokens");
            }
            auto const known = [&](std::string const& token) {
                auto const found = id_of_.find(token);
                if (found == id_of_.end())
                    refuse("merge " + std::to_string(rank) + " names " + in_quotes(token) +
                           ", which is no token");
                return found->second;
            };
            auto const key = pair_key(known(left), known(right));
            if (!out_.merges.emplace(key, merge_rule<std::uint32_t>{rank, known(left + right)}).second)
                refuse("merge " + std::to_string(rank) + " repeats an earlier one");
            ++rank;
        }
    }

    void read_added(json_value const& added) {
        if (added.is_null()) return;
        if (!added.is_array()) refuse("added_tokens is not an array");
        std::size_t const limit = out_.tokens.size() + 2 * added.size() + 4096;
        for (auto const& entry : added) {
            auto const& content = member(entry, "content");
            if (!content.is_string() || content == "") refuse("has an added token without content");
            added_token token;
            token.content = content.get<std::string>();
            std::string const name = "added token " + in_quotes(token.content);
            token.id = checked_id(member(entry, "id"), limit, name);
            for (char const* key : {"single_word", "lstrip", "rstrip"})
                if (flag(entry, key, false)) refuse(name + " asks for " + key + ", which is not supported");
            token.special = flag(entry, "special", false);
            token.normalized = flag(entry, "normalized", !token.special);
            auto const i = static_cast<std::size_t>(token.id);
            auto const in_vocab = id_of_.find(token.content);
            bool const taken = i < used_.size() && used_[i];
            if (in_vocab != id_of_.end() ? in_vocab->second != token.id : taken)
                refuse(name + " has id " + std::to_string(token.id) +
                       ", which does not agree with the vocabulary");
            id_of_.emplace(token.content, token.id);
            set_token(token.id, token.content);
            if (token.special) out_.is_special[i] = true;
            for (auto const& other : out_.added)
                if (other.content == token.content) refuse(name + " is listed twice");
            out_.added.push_back(std::move(token));
        }
    }

    void read_normalizer(json_value const& normalizer) {
        auto const type = type_of(normalizer);
        out_.nfc = type == "NFC";
        if (type != "none" && type != "NFC") refuse("has normalizer " + type + ", expected none or NFC");
    }

    void read_pre_tokenizer(json_value const& part) {
        bool byte_level = false;
        auto const read_step = [&](json_value const& step) {
            auto const type = type_of(step);
            if (byte_level)
                refuse("has pre-tokenizer " + type + " behind ByteLevel, expected ByteLevel last");
            if (type == "ByteLevel") {
                byte_level = true;
                // The blank would go in front of every piece that earlier steps leave.
                out_.add_prefix_space = flag(step, "add_prefix_space", true);
                if (out_.add_prefix_space && !out_.splits.empty())
                    refuse("adds a prefix space behind another split, which is not supported");
                if (flag(step, "use_regex", true))
                    out_.splits.push_back({split_step::kind::rule, split_rule{}});
            } else if (type == "Split") {
                auto const& expression = member(member(step, "pattern"), "Regex");
                if (!expression.is_string()) refuse("has a Split without a Regex pattern");
                auto const rule = find_split_rule(expression.get_ref<std::string const&>());
                if (!rule)
                    refuse("splits by " + in_quotes(expression.get_ref<std::string const&>()) +
                           ", expected the expression of GPT-2, Llama 3 or Qwen 2");
                auto const& behavior = member(step, "behavior");
                bool const invert = flag(step, "invert", false);
                // These expressions match everywhere, so both keep exactly the matches.
                if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert))
                    refuse("has a Split with behavior " + behavior.dump() + ", expected \"Isolated\"");
                out_.splits.push_back({split_step::kind::rule, *rule});
            } else if (type == "Digits") {
                out_.splits.push_back({flag(step, "individual_digits", false)
                                           ? split_step::kind::single_digits
                                           : split_step::kind::digit_runs,
                                       split_rule{}});
            } else {
                refuse("has pre-tokenizer " + type + ", expected ByteLevel, Split or Digits");
            }
        };
        if (type_of(part) == "Sequence") {
            auto const& steps = member(part, "pretokenizers");
            if (!steps.is_array()) refuse("has a Sequence without pretokenizers");
            if (steps.size() > 16) refuse("has a Sequence of more than 16 pretokenizers");
            for (auto const& step : steps) read_step(step);
        } else {
            read_step(part);
        }
        if (!byte_level) refuse("has no ByteLevel pre-tokenizer, expected byte-level BPE");
    }

    void read_post_processor(json_value const& part) {
        auto const type = type_of(part);
        if (type == "none" || type == "ByteLevel") return;
        if (type == "Sequence") {
            auto const& steps = member(part, "processors");
            if (!steps.is_array()) refuse("has a post_processor Sequence without processors");
            for (auto const& step : steps) {
                auto const inner = type_of(step);
                if (inner == "TemplateProcessing")
                    read_template(step);
                else if (inner != "ByteLevel")
                    refuse("has post_processor " + inner + ", expected TemplateProcessing or ByteLevel");
            }
        } else if (type == "TemplateProcessing") {
            read_template(part);
        } else {
            refuse("has post_processor " + type + ", expected TemplateProcessing or ByteLevel");
        }
    }

    void read_template(json_value const& part) {
        if (!out_.prefix.empty() || !out_.suffix.empty()) refuse("has two TemplateProcessing steps");
        auto const& single = member(part, "single");
        if (!single.is_array()) refuse("has a TemplateProcessing without a template for single texts");
        bool text_seen = false;
        for (auto const& piece : single) {
            if (auto const& sequence = member(piece, "Sequence"); sequence.is_object()) {
                if (text_seen) refuse("has a template with the text twice");
                text_seen = true;
                continue;
            }
            auto const& name = member(member(piece, "SpecialToken"), "id");
            if (!name.is_string()) refuse("has a template piece that is neither Sequence nor SpecialToken");
            auto const& ids =
                member(member(member(part, "special_tokens"), name.get<std::string>().c_str()), "ids");
            if (!ids.is_array()) refuse("has no ids for special token " + in_quotes(name.get<std::string>()));
            for (auto const& id : ids)
                (text_seen ? out_.suffix : out_.prefix)
                    .push_back(checked_id(id, out_.tokens.size(),
                                          "special token " + in_quotes(name.get<std::string>())));
        }
        if (!text_seen) refuse("has a template without the text");
    }

    std::string where_;
    tokenizer_json out_{};
    text_map<std::int32_t> id_of_{};  ///< as written in the file
    std::vector<bool> used_{};
    std::unordered_map<std::uint32_t, std::uint32_t> byte_of_{};
};

/// Parses and checks a tokenizer.json.
[[nodiscard]] inline tokenizer_json parse_tokenizer_json(std::string_view text, std::string const& where) {
    constexpr std::size_t limit = 256'000'000;
    if (text.size() > limit)
        throw io::input_error(where, "holds " + std::to_string(text.size()) + " bytes, expected at most " +
                                         std::to_string(limit));
    return tokenizer_json_reader(where).read(text);
}

}  // namespace commutant::detail
