// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "validity.hpp"

#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace program {
namespace {

namespace cm = commutant;

/// The outcome of one whole-block proof: merge this transform into a decoder of the family in GF(2^61 - 1), run both.
template <class Family, class Site>
constexpr validity_row proved(char const* symbol, char const* at_inference) {
    using kind = cm::fptquant_plan::kind_at<Site>;
    return {symbol,        Site::name,   kind::name,
            Site::between, at_inference, cm::preserves_function<Family, cm::plan<cm::at<Site, kind>>>};
}

template <class Family> constexpr std::array<validity_row, 6> proved_rows() {
    return {proved<Family, cm::sites::query_key>("T_k", "merged"),
            proved<Family, cm::sites::value_output>("T_v", "merged"),
            proved<Family, cm::sites::up_down>("T_u", "merged"),
            proved<Family, cm::sites::residual_stream>("T_r", "merged"),
            proved<Family, cm::sites::down_input>("T_d", "online"),
            proved<Family, cm::sites::token_scale>("S_n", "online")};
}

}  // namespace

std::array<validity_row, 6> validity_of(cm::model_config const& config) {
    switch (config.family) {
        case cm::model_family::mistral: {
            static constexpr auto rows = proved_rows<cm::families::mistral>();
            return rows;
        }
        case cm::model_family::qwen2: {
            static constexpr auto rows = proved_rows<cm::families::qwen2>();
            return rows;
        }
        case cm::model_family::qwen3: {
            static constexpr auto rows = proved_rows<cm::families::qwen3>();
            return rows;
        }
        case cm::model_family::llama:
            break;
    }
    if (config.rope_pairing == cm::pairing::interleaved) {
        static constexpr auto rows = proved_rows<cm::families::llama_interleaved>();
        return rows;
    }
    static constexpr auto rows = proved_rows<cm::families::llama>();
    return rows;
}

std::string reason_against(validity_row const& row, cm::model_config const& config) {
    if (row.exact) return {};
    if (row.site == std::string(cm::sites::query_key::name) && config.qk_norm)
        return "RMSNorm of each query and key stands between the projections and RoPE";
    return std::string("no proof that it passes ") + row.between;
}

}  // namespace program
