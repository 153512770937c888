// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace commutant::kernels::detail {

/// Calls f with a core as a constant if its rows are taken in groups of four; whether they are. Those are the cores of
/// 14336, 5120, 3072 and of what is a power of two times them, where that is as fast as folding.
///
/// Note      within a group the eight signed sums are formed once, up to a sign, and each output adds one of them, with its
///           sign: core / 4 + 3 additions per feature in place of core
template <class T, class F>
[[nodiscard]] inline bool with_grouped_core(std::size_t core, F const& f) noexcept {
    if constexpr (sizeof(T) == 4) {
        switch (core) {
            case 12:
                f(std::integral_constant<std::size_t, 12>{});
                return true;
            case 20:
                f(std::integral_constant<std::size_t, 20>{});
                return true;
            case 28:
                f(std::integral_constant<std::size_t, 28>{});
                return true;
            default:
                break;
        }
    }
    return false;
}

/// The terms of a core known to the compiler, so that every addition of it can be written out.
template <std::size_t Core, hadamard_side Side> struct core_terms {
    static constexpr std::size_t n_groups = Core / 4;

    /// Of output c and group g: 2 m + (1 if sum m is subtracted). Bits of m, set for minus: row 1 against row 0, row 2
    /// against row 0, row 3 against row 2.
    static constexpr std::array<std::uint16_t, Core* n_groups> terms = [] {
        constexpr sign_rows<Core> rows = hadamard_rows<Core>();
        std::array<std::uint16_t, Core * n_groups> r{};
        for (std::size_t c = 0; c < Core; ++c)
            for (std::size_t g = 0; g < n_groups; ++g) {
                bool minus[4] = {};
                for (std::size_t i = 0; i < 4; ++i)
                    minus[i] = Side == hadamard_side::plain ? rows.view().is_minus(4 * g + i, c)
                                                            : rows.view().is_minus(c, 4 * g + i);
                unsigned const sum = (minus[1] != minus[0] ? 1U : 0U) | (minus[2] != minus[0] ? 2U : 0U) |
                                     (minus[3] != minus[2] ? 4U : 0U);
                r[c * n_groups + g] = static_cast<std::uint16_t>(2 * sum + (minus[0] ? 1 : 0));
            }
        return r;
    }();

    /// Which of a group's eight sums output c takes, and whether it is subtracted.
    [[nodiscard]] static constexpr std::size_t sum(std::size_t c, std::size_t g) noexcept {
        return terms[c * n_groups + g] / 2;
    }
    [[nodiscard]] static constexpr bool is_minus(std::size_t c, std::size_t g) noexcept {
        return terms[c * n_groups + g] % 2 != 0;
    }

    /// Outputs that are added up together, so that they and the eight sums stay in registers.
    static constexpr std::size_t batch(std::size_t most) noexcept {
        std::size_t const n_batches = (Core + most - 1) / most;
        return (Core + n_batches - 1) / n_batches;
    }
};

}  // namespace commutant::kernels::detail
