// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <type_traits>

#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Where a transform may stand, and the law it must obey there.
///
/// Each site names the linears in front (they take T on their output side), the operator in between that T must
/// commute with, and the linears behind (they take the inverse on their input side).
namespace sites {
struct query_key {
    static constexpr char const* name = "query_key";
    static constexpr char const* in_front = "k_proj: T, q_proj: T^-T";
    static constexpr char const* between = "RoPE, then q.k";
    static constexpr char const* behind = "-";
    static constexpr char const* admissible =
        "scaled rotations; anything invertible on features without position";
};
struct value_output {
    static constexpr char const* name = "value_output";
    static constexpr char const* in_front = "v_proj";
    static constexpr char const* between = "attention mixing, GQA repeat";
    static constexpr char const* behind = "o_proj";
    static constexpr char const* admissible = "any invertible matrix per kv head";
};
struct up_down {
    static constexpr char const* name = "up_down";
    static constexpr char const* in_front = "up_proj; a permutation gate_proj too";
    static constexpr char const* between = "gate product";
    static constexpr char const* behind = "down_proj";
    static constexpr char const* admissible = "diagonal, permutation";
};
struct residual_stream {
    static constexpr char const* name = "residual_stream";
    static constexpr char const* in_front = "embedding, o_proj, down_proj";
    static constexpr char const* between = "addition, RMSNorm with folded gain";
    static constexpr char const* behind = "q_proj, k_proj, v_proj, gate_proj, up_proj, lm_head";
    static constexpr char const* admissible = "orthogonal";
};
struct down_input {
    static constexpr char const* name = "down_input";
    static constexpr char const* in_front = "online";
    static constexpr char const* between = "-";
    static constexpr char const* behind = "down_proj";
    static constexpr char const* admissible = "any invertible matrix with a fast apply";
};
struct token_scale {
    static constexpr char const* name = "token_scale";
    static constexpr char const* in_front = "-";
    static constexpr char const* between = "RMSNorm is homogeneous";
    static constexpr char const* behind = "-";
    static constexpr char const* admissible = "positive scalars per token, online";
};
}  // namespace sites

/// The kind that changes nothing: what a plan holds at a site it does not name.
struct identity_transform {
    static constexpr char const* name = "identity";
    struct value {};
    template <class M> using on = value;
    template <class M>
    [[nodiscard]] static constexpr value make(parameter_source<typename M::scalar>&, transform_shape const&) {
        return {};
    }
};

/// The kind of the residual scaling S_n: no parameters, no matrix; operators/residual.hpp has its formula.
struct residual_scale {
    static constexpr char const* name = "residual_scale";
    struct value {};
    template <class M> using on = value;
    template <class M>
    [[nodiscard]] static constexpr value make(parameter_source<typename M::scalar>&, transform_shape const&) {
        return {};
    }
};

/// Kind K stands at Site.
template <class Site, transform_kind K> struct at {
    using site = Site;
    using kind = K;
};

namespace detail {
template <class Site, class... At> struct kind_at_site { using type = identity_transform; };
template <class Site, class First, class... Rest> struct kind_at_site<Site, First, Rest...> {
    using type = std::conditional_t<std::is_same_v<Site, typename First::site>, typename First::kind,
                                    typename kind_at_site<Site, Rest...>::type>;
};
}  // namespace detail

/// Which kind of transform stands at which site of a decoder; sites not named keep the identity.
template <class... At> struct plan {
    template <class Site> using kind_at = typename detail::kind_at_site<Site, At...>::type;
    template <class Site> static constexpr bool has = !std::is_same_v<kind_at<Site>, identity_transform>;
};

}  // namespace commutant
