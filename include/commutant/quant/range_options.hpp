// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace commutant {

/// How a scale (and zero point) is chosen from data.
enum class range_method {
    min_max,  ///< the smallest grid that covers everything seen
    lp_norm   ///< the grid, among candidates inside that range, of least L_p error
};

[[nodiscard]] constexpr std::string_view to_string(range_method m) noexcept {
    switch (m) {
        case range_method::min_max:
            return "min_max";
        case range_method::lp_norm:
            return "lp_norm";
    }
    return "unknown";
}

/// Range method of that name.
///
/// Errors    std::invalid_argument if the text is neither min_max nor lp_norm
[[nodiscard]] inline range_method parse_range_method(std::string_view text) {
    for (const range_method m : {range_method::min_max, range_method::lp_norm})
        if (text == to_string(m)) return m;
    throw std::invalid_argument("parse_range_method: got \"" + std::string(text) +
                                "\", expected min_max or lp_norm");
}

/// Choice of range: the method and, for lp_norm, its norm and how finely ends are searched.
struct range_options {
    range_method method = range_method::lp_norm;
    int p = 3;               ///< 1 .. 8
    int n_candidates = 100;  ///< per round; the ends tried are k / n_candidates of the observed ones

    friend constexpr bool operator==(const range_options&, const range_options&) noexcept = default;
};

/// Refuses options that the search cannot use.
///
/// Errors    std::invalid_argument if p is outside 1 .. 8 or there is no candidate
inline void validate(const range_options& options) {
    if (options.p < 1 || options.p > 8)
        throw std::invalid_argument("range_options: p is " + std::to_string(options.p) + ", expected 1 to 8");
    if (options.n_candidates < 1)
        throw std::invalid_argument("range_options: n_candidates is " + std::to_string(options.n_candidates) +
                                    ", expected at least 1");
}

}  // namespace commutant
