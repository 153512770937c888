// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// H_core (x) H_Sylvester: the product is a Hadamard matrix, and apply_hadamard multiplies by it or by its
// transpose.

#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace {

using commutant::hadamard_order;
using commutant::hadamard_rows;
using commutant::hadamard_side;

template <std::size_t Core, std::size_t PowerOfTwo> consteval auto tensor_product() {
    commutant::sign_rows<Core * PowerOfTwo> rows;
    auto const core = hadamard_rows<Core>();
    for (std::size_t r = 0; r < rows.order; ++r) {
        for (std::size_t c = 0; c < rows.order; ++c) {
            if (commutant::hadamard_entry_is_minus(core, {Core, PowerOfTwo}, r, c)) {
                commutant::detail::set_bit(rows.words.data() + r * commutant::words_per_sign_row(rows.order),
                                           c);
            }
        }
    }
    return rows;
}

static_assert(commutant::is_hadamard(tensor_product<12, 2>()));
static_assert(commutant::is_hadamard(tensor_product<12, 8>()));
static_assert(commutant::is_hadamard(tensor_product<20, 4>()));
static_assert(commutant::is_hadamard(tensor_product<28, 2>()));
static_assert(commutant::is_hadamard(tensor_product<36, 2>()));
static_assert(tensor_product<1, 64>().words == hadamard_rows<64>().words);
static_assert(tensor_product<2, 4>().words == hadamard_rows<8>().words);

// An exact scalar with + and - and nothing else.
struct exact {
    std::int64_t value = 0;

    friend constexpr exact operator+(exact a, exact b) { return {a.value + b.value}; }
    friend constexpr exact operator-(exact a, exact b) { return {a.value - b.value}; }
    friend constexpr bool operator==(exact, exact) = default;
};

// Row r of the matrix is what the unit vector r becomes; swapped, column r.
template <std::size_t Core, std::size_t PowerOfTwo>
consteval bool applies_its_entries(hadamard_side side, std::size_t stride = 1) {
    constexpr hadamard_order order{Core, PowerOfTwo};
    constexpr auto core = hadamard_rows<Core>();
    std::array<exact, 3 * order.size()> x{};
    std::array<exact, commutant::hadamard_scratch_size(order)> scratch{};
    for (std::size_t r = 0; r < order.size(); ++r) {
        x.fill(exact{});
        x[r * stride] = exact{1};
        commutant::apply_hadamard<exact>(x.data(), stride, order, core, scratch, side);
        for (std::size_t c = 0; c < order.size(); ++c) {
            bool const minus = side == hadamard_side::plain
                                   ? commutant::hadamard_entry_is_minus(core, order, r, c)
                                   : commutant::hadamard_entry_is_minus(core, order, c, r);
            if (x[c * stride] != exact{minus ? -1 : 1}) return false;
        }
    }
    return true;
}

static_assert(applies_its_entries<12, 1>(hadamard_side::plain));
static_assert(applies_its_entries<12, 1>(hadamard_side::transposed));
static_assert(applies_its_entries<12, 4>(hadamard_side::plain));
static_assert(applies_its_entries<12, 2>(hadamard_side::transposed, 3));
static_assert(applies_its_entries<36, 1>(hadamard_side::plain));
static_assert(applies_its_entries<1, 32>(hadamard_side::plain));
static_assert(applies_its_entries<1, 32>(hadamard_side::transposed, 2));
static_assert(applies_its_entries<4, 4>(hadamard_side::plain));

template <std::size_t Core, std::size_t PowerOfTwo>
consteval bool transposed_side_inverts(hadamard_side first, hadamard_side second) {
    constexpr hadamard_order order{Core, PowerOfTwo};
    constexpr auto core = hadamard_rows<Core>();
    std::array<exact, order.size()> x{};
    std::array<exact, commutant::hadamard_scratch_size(order)> scratch{};
    for (std::size_t i = 0; i < order.size(); ++i) x[i].value = static_cast<std::int64_t>(i * i) - 17;
    commutant::apply_hadamard<exact>(x.data(), 1, order, core, scratch, first);
    commutant::apply_hadamard<exact>(x.data(), 1, order, core, scratch, second);
    for (std::size_t i = 0; i < order.size(); ++i) {
        std::int64_t const before = static_cast<std::int64_t>(i * i) - 17;
        if (x[i].value != before * static_cast<std::int64_t>(order.size())) return false;
    }
    return true;
}

static_assert(transposed_side_inverts<12, 8>(hadamard_side::plain, hadamard_side::transposed));
static_assert(transposed_side_inverts<28, 4>(hadamard_side::transposed, hadamard_side::plain));
static_assert(transposed_side_inverts<36, 2>(hadamard_side::plain, hadamard_side::plain));
static_assert(transposed_side_inverts<1, 64>(hadamard_side::plain, hadamard_side::plain));

// Paley's first construction is not symmetric: applied twice it does not come back.
static_assert(!transposed_side_inverts<12, 8>(hadamard_side::plain, hadamard_side::plain));
static_assert(!transposed_side_inverts<28, 4>(hadamard_side::transposed, hadamard_side::transposed));

}  // namespace
