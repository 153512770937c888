// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace commutant::kernels::detail {

/// Cores whose additions are written out for float: those of 14336, 5120, 3072 and of what is a power of two times them.
[[nodiscard]] constexpr bool has_written_out_core(std::size_t core) noexcept {
    return core == 12 || core == 20 || core == 28;
}

/// The terms of a core known to the compiler, so that every addition of it can be written out.
template <std::size_t Core, hadamard_side Side> struct core_terms {
    static constexpr std::size_t n_groups = Core / 4;

    static constexpr std::array<std::uint16_t, Core* n_groups> terms = [] {
        constexpr sign_rows<Core> rows = hadamard_rows<Core>();
        std::array<std::uint16_t, Core * n_groups> r{};
        for (std::size_t c = 0; c < Core; ++c)
            for (std::size_t g = 0; g < n_groups; ++g)
                r[c * n_groups + g] = core_term(rows.view(), Core, Side, c, g);
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
