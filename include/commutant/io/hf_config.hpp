// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <commutant/io/error.hpp>
#include <commutant/io/json.hpp>
#include <commutant/io/mapped_file.hpp>
#include <commutant/model/config.hpp>

namespace commutant::detail {

/// What transformers assumes for a model type when config.json is silent.
struct family_defaults {
    std::string_view model_type;
    model_family family;
    std::optional<std::size_t> n_kv_heads;  ///< nothing: as many as query heads
    std::optional<std::size_t> head_dim;    ///< nothing: model_dim / n_heads
    std::size_t max_positions;
    bool has_attention_bias;  ///< the flag attention_bias is read (q, k, v and o)
    bool has_mlp_bias;
    bool always_qkv_bias;
    bool qk_norm;
    bool window_always_on;  ///< sliding_window needs no use_sliding_window
    bool window_exists;
};

inline constexpr family_defaults known_families[] = {
    {"llama", model_family::llama, std::nullopt, std::nullopt, 2048, true, true, false, false, false, false},
    {"mistral", model_family::mistral, 8, std::nullopt, 131072, false, false, false, false, true, true},
    {"qwen2", model_family::qwen2, 32, std::nullopt, 32768, false, false, true, false, false, true},
    {"qwen3", model_family::qwen3, 32, 128, 32768, true, false, false, true, false, true},
};

/// Typed access to one JSON object of a configuration; each refusal names the key.
class config_object {
public:
    config_object(nlohmann::json const& object, std::string where)
        : object_(object), where_(std::move(where)) {}

    [[noreturn]] void refuse(std::string const& fact) const { throw io::input_error(where_, fact); }

    /// The value, or nothing when the key is absent or null.
    [[nodiscard]] nlohmann::json const* find(char const* key) const {
        auto const found = object_.find(key);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }

    [[nodiscard]] bool has_null(char const* key) const {
        auto const found = object_.find(key);
        return found != object_.end() && found->is_null();
    }

    /// An exact whole number in [1, limit].
    [[nodiscard]] std::optional<std::size_t> size(char const* key, std::size_t limit) const {
        auto const* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_number_unsigned())
            refuse(std::string(key) + " is " + value->dump() + ", expected a whole number of at least 1");
        auto const number = value->get<std::uint64_t>();
        if (number == 0 || number > limit)
            refuse(std::string(key) + " is " + std::to_string(number) + ", expected 1 to " +
                   std::to_string(limit));
        return number;
    }

    [[nodiscard]] std::size_t required_size(char const* key, std::size_t limit) const {
        auto const value = size(key, limit);
        if (!value) refuse(std::string(key) + " is missing");
        return *value;
    }

    /// A finite number.
    [[nodiscard]] std::optional<double> number(char const* key) const {
        auto const* value = find(key);
        if (value == nullptr) return std::nullopt;
        double const x = value->is_number() ? value->get<double>() : std::nan("");
        if (!std::isfinite(x))
            refuse(std::string(key) + " is " + value->dump() + ", expected a finite number");
        return x;
    }

    /// A finite number above zero.
    [[nodiscard]] std::optional<double> positive(char const* key) const {
        auto const x = number(key);
        if (x && *x <= 0)
            refuse(std::string(key) + " is " + find(key)->dump() + ", expected a number above 0");
        return x;
    }

    [[nodiscard]] double required_positive(char const* key) const {
        auto const x = positive(key);
        if (!x) refuse(std::string(key) + " is missing");
        return *x;
    }

    [[nodiscard]] std::optional<bool> boolean(char const* key) const {
        auto const* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_boolean())
            refuse(std::string(key) + " is " + value->dump() + ", expected true or false");
        return value->get<bool>();
    }

    [[nodiscard]] std::optional<std::string> text(char const* key) const {
        auto const* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_string()) refuse(std::string(key) + " is " + value->dump() + ", expected a string");
        return value->get<std::string>();
    }

    [[nodiscard]] std::optional<config_object> object(char const* key) const {
        auto const* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_object()) refuse(std::string(key) + " is " + value->dump() + ", expected an object");
        return config_object(*value, where_ + ", " + key);
    }

private:
    nlohmann::json const& object_;
    std::string where_;
};

/// Refuses what stands on the path of a block and is not part of the ones described here.
///
/// Transforms that were proved for the plain block would silently break such a model.
inline void require_plain_block(config_object const& file) {
    for (char const* key :
         {"clip_qkv", "attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar",
          "attention_multiplier", "no_rope_layers", "no_rope_layer_interval", "num_local_experts",
          "num_experts", "n_routed_experts", "sliding_window_pattern", "swiglu_limit"})
        if (auto const* value = file.find(key); value != nullptr)
            file.refuse(std::string(key) + " is " + value->dump() +
                        ", which this model type does not have: the block would not be the plain one");
    for (char const* key : {"embedding_multiplier", "residual_multiplier", "logits_scaling"})
        if (file.number(key).value_or(1.0) != 1.0)
            file.refuse(std::string(key) + " is " + file.find(key)->dump() + ", expected 1 or no such key");
    if (file.find("text_config") != nullptr)
        file.refuse("nests its decoder under text_config, expected a text-only model");
    if (file.find("quantization_config") != nullptr)
        file.refuse("has a quantization_config: the weights are packed already, expected a float checkpoint");
}

/// RoPE base, scaling and rotated width out of either generation of keys.
inline void read_rope(config_object const& file, model_config& config, std::size_t trained_positions) {
    auto const newer = file.object("rope_parameters");
    auto const older = file.object("rope_scaling");
    if (newer && older) file.refuse("has both rope_parameters and rope_scaling, expected one of them");
    auto const rope = newer ? newer : older;
    auto const one_of = [&](char const* key, double otherwise) {
        double const outer = file.positive(key).value_or(otherwise);
        if (!rope || rope->find(key) == nullptr) return outer;
        double const inner = rope->required_positive(key);
        if (file.find(key) != nullptr && outer != inner)
            file.refuse(std::string(key) + " is given twice with different values, " +
                        file.find(key)->dump() + " and " + rope->find(key)->dump());
        return inner;
    };
    if (rope && (rope->find("full_attention") != nullptr || rope->find("sliding_attention") != nullptr))
        file.refuse(
            "nests RoPE parameters by layer type: models with two kinds of attention are not supported");
    config.rope_theta = one_of("rope_theta", 10000.0);
    double const share = one_of("partial_rotary_factor", 1.0);
    if (share > 1.0) file.refuse("partial_rotary_factor is above 1");
    config.rotary_dim = static_cast<std::size_t>(static_cast<double>(config.head_dim) * share);
    if (config.rotary_dim == 0 || config.rotary_dim % 2 != 0)
        file.refuse("rotates " + std::to_string(config.rotary_dim) + " features of a head of " +
                    std::to_string(config.head_dim) + ", expected an even number of at least 2");
    if (!rope) return;

    auto const newer_name = rope->text("rope_type");
    auto const older_name = rope->text("type");
    if (newer_name && older_name && *newer_name != *older_name)
        rope->refuse("rope_type is " + in_quotes(*newer_name) + " but type is " + in_quotes(*older_name));
    std::string const type = newer_name ? *newer_name : older_name.value_or("default");
    auto& scaling = config.scaling;
    if (type == "default") return;
    if (type == "linear") {
        scaling.method = rope_scaling::kind::linear;
        scaling.factor = rope->required_positive("factor");
    } else if (type == "llama3") {
        scaling.method = rope_scaling::kind::llama3;
        scaling.factor = rope->required_positive("factor");
        scaling.low_freq_factor = rope->required_positive("low_freq_factor");
        scaling.high_freq_factor = rope->required_positive("high_freq_factor");
        scaling.original_max_positions = rope->required_positive("original_max_position_embeddings");
        if (scaling.high_freq_factor <= scaling.low_freq_factor)
            rope->refuse("high_freq_factor is not above low_freq_factor");
    } else if (type == "yarn") {
        scaling.method = rope_scaling::kind::yarn;
        scaling.original_max_positions = rope->positive("original_max_position_embeddings")
                                             .value_or(static_cast<double>(trained_positions));
        scaling.factor = rope->positive("factor").value_or(static_cast<double>(trained_positions) /
                                                           scaling.original_max_positions);
        scaling.beta_fast = rope->positive("beta_fast").value_or(32.0);
        scaling.beta_slow = rope->positive("beta_slow").value_or(1.0);
        scaling.truncate = rope->boolean("truncate").value_or(true);
        scaling.attention_factor = rope->positive("attention_factor");
        scaling.mscale = rope->number("mscale");
        scaling.mscale_all_dim = rope->number("mscale_all_dim");
        if (scaling.beta_fast < scaling.beta_slow) rope->refuse("beta_fast is below beta_slow");
    } else {
        rope->refuse("rope_type is " + in_quotes(type) + ", expected default, linear, llama3 or yarn");
    }
    if (scaling.factor < 1.0) rope->refuse("factor is below 1");
}

/// Refuses layers that attend in another way than fully or through a sliding window.
inline void require_known_layer_types(config_object const& file, family_defaults const& family) {
    auto const* types = file.find("layer_types");
    if (types == nullptr) return;
    if (!types->is_array()) file.refuse("layer_types is " + types->dump() + ", expected an array");
    for (auto const& type : *types)
        if (type != "full_attention" && !(type == "sliding_attention" && family.window_exists))
            file.refuse("layer_types names " + type.dump() + ", which model type " +
                        in_quotes(family.model_type) + " does not have");
}

/// Positions for which a sliding window, if any, hides nothing.
inline std::size_t unwindowed_positions(config_object const& file, family_defaults const& family,
                                        std::size_t positions) {
    if (!family.window_exists) {
        if (file.find("sliding_window") != nullptr && file.boolean("use_sliding_window").value_or(true))
            file.refuse("sliding_window is set, which model type " + in_quotes(family.model_type) +
                        " does not have");
        return positions;
    }
    bool const on = family.window_always_on || file.boolean("use_sliding_window").value_or(false);
    if (!on || file.has_null("sliding_window")) return positions;
    std::size_t const window = file.size("sliding_window", std::size_t{1} << 31).value_or(4096);
    return window < positions ? window : positions;
}

}  // namespace commutant::detail

namespace commutant::io {

/// Geometry of a Hugging Face model from the text of its config.json, of either generation of field names.
///
/// Model types llama, mistral, qwen2 and qwen3; defaults are those of transformers for the type. A sliding
/// window is not modelled: max_positions is bounded by it, since up to that length it hides nothing.
/// Everything else that is not the plain block (another activation or RoPE type, clamps, soft-caps,
/// multipliers, experts, packed weights) is refused.
/// Errors    input_error naming `where`, the key, its value and what was expected
[[nodiscard]] inline model_config parse_hf_config(std::string_view text, std::string const& where) {
    nlohmann::json const json = parse_json(text, where);
    if (!json.is_object()) throw input_error(where, "is not a JSON object");
    detail::config_object const file(json, where);

    auto const type = file.text("model_type");
    if (!type) file.refuse("model_type is missing, expected llama, mistral, qwen2 or qwen3");
    detail::family_defaults const* family = nullptr;
    for (auto const& known : detail::known_families)
        if (known.model_type == *type) family = &known;
    if (family == nullptr)
        file.refuse("model_type is " + detail::in_quotes(*type) +
                    ", expected llama, mistral, qwen2 or qwen3");
    detail::require_plain_block(file);
    for (char const* key : {"hidden_act", "hidden_activation"})
        if (auto const act = file.text(key).value_or("silu"); act != "silu" && act != "swish")
            file.refuse(std::string(key) + " is " + detail::in_quotes(act) + ", expected 'silu'");

    // Far above every model there is, and low enough that no product of two of them overflows.
    constexpr std::size_t max_width = std::size_t{1} << 24;
    constexpr std::size_t max_layers = 16384;
    constexpr std::size_t max_position_count = std::size_t{1} << 31;
    model_config config;
    config.family = family->family;
    config.n_layers = file.required_size("num_hidden_layers", max_layers);
    config.model_dim = file.required_size("hidden_size", max_width);
    config.ffn_dim = file.required_size("intermediate_size", max_width);
    config.n_heads = file.required_size("num_attention_heads", max_width);
    config.vocab_size = file.required_size("vocab_size", max_width);
    auto const default_kv_heads =
        file.has_null("num_key_value_heads") ? config.n_heads : family->n_kv_heads.value_or(config.n_heads);
    config.n_kv_heads = file.size("num_key_value_heads", max_width).value_or(default_kv_heads);
    if (config.n_heads % config.n_kv_heads != 0)
        file.refuse("has " + std::to_string(config.n_heads) + " query heads and " +
                    std::to_string(config.n_kv_heads) + " key/value heads, expected a multiple");
    if (auto const head_dim = file.size("head_dim", max_width)) {
        config.head_dim = *head_dim;
    } else if (family->head_dim) {
        config.head_dim = *family->head_dim;
    } else {
        if (config.model_dim % config.n_heads != 0)
            file.refuse("hidden_size " + std::to_string(config.model_dim) +
                        " is not a multiple of num_attention_heads " + std::to_string(config.n_heads) +
                        " and head_dim is missing");
        config.head_dim = config.model_dim / config.n_heads;
    }
    if (config.n_heads > max_width / config.head_dim)
        file.refuse("has " + std::to_string(config.n_heads) + " heads of " + std::to_string(config.head_dim) +
                    " features, expected at most " + std::to_string(max_width) + " in all");

    std::size_t const positions =
        file.size("max_position_embeddings", max_position_count).value_or(family->max_positions);
    detail::require_known_layer_types(file, *family);
    config.max_positions = detail::unwindowed_positions(file, *family, positions);
    config.rms_norm_eps = file.positive("rms_norm_eps").value_or(1e-6);
    if (config.rms_norm_eps >= 1.0)
        file.refuse("rms_norm_eps is " + file.find("rms_norm_eps")->dump() + ", expected below 1");
    config.rope_pairing = pairing::half_split;
    detail::read_rope(file, config, positions);
    config.tied_head = file.boolean("tie_word_embeddings").value_or(false);

    bool const attention_bias = file.boolean("attention_bias").value_or(false);
    bool const mlp_bias = file.boolean("mlp_bias").value_or(false);
    if (attention_bias && !family->has_attention_bias && !family->always_qkv_bias)
        file.refuse("attention_bias is true, which model type " + detail::in_quotes(*type) +
                    " does not have");
    if (mlp_bias && !family->has_mlp_bias)
        file.refuse("mlp_bias is true, which model type " + detail::in_quotes(*type) + " does not have");
    config.qkv_bias = family->always_qkv_bias || attention_bias;
    config.o_bias = family->has_attention_bias && attention_bias;
    config.mlp_bias = mlp_bias;
    config.qk_norm = family->qk_norm;
    return config;
}

/// Largest config.json that is read, in bytes.
inline constexpr std::size_t max_config_bytes = 16'000'000;

/// Geometry of a Hugging Face model from its config.json; see parse_hf_config.
[[nodiscard]] inline model_config read_hf_config(std::filesystem::path const& path) {
    return parse_hf_config(read_text(path, max_config_bytes), path.string());
}

}  // namespace commutant::io
