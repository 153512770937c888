// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "rows/transfer_contests.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>

namespace commutant::bench {
namespace {

struct arrays {
    buffer<std::byte> source, target;
    std::vector<std::byte> first;  ///< the first slice of source before the first call
    std::size_t source_step, target_step, turn = 0;

    /// For the next one's first call, which is checked.
    void begin_again() {
        std::copy(first.begin(), first.end(), source.data());
        turn = 0;
    }
};

bool reads_floats(transfer_kind kind) {
    return kind != transfer_kind::pack && kind != transfer_kind::unpack && kind != transfer_kind::dequantize;
}

/// Plain code for one value each, from the first slice as it was.
class reference {
public:
    reference(transfer_kind kind, sliced const& shape, std::vector<std::byte> const& first)
        : kind_(kind), shape_(shape), first_(first) {
        if (kind == transfer_kind::hadamard || kind == transfer_kind::hadamard_rescale_pack) {
            order_ = require_hadamard_order(shape.row_size);
            core_ = hadamard_rows(order_.core);
        }
    }

    /// Largest deviation at some places, relative to values near one: of floats, or of codes in steps.
    [[nodiscard]] double error(arrays const& a) const {
        double worst = 0;
        std::size_t const n = shape_.elements(), n_places = std::min<std::size_t>(n, 200);
        for (std::size_t i = 0; i < n_places; ++i) {
            std::size_t const at = i < 4 ? (i % 2 == 0 ? i / 2 : n - 1 - i / 2) : i * 7919 % n;
            worst = std::max(worst, std::abs(found(a, at) - expected(at)));
        }
        return worst;
    }

private:
    [[nodiscard]] float source_float(std::size_t at) const {
        float x = 0;
        std::memcpy(&x, first_.data() + at * sizeof x, sizeof x);
        return x;
    }
    /// Two's complement, the even element low.
    static double nibble(std::byte const* p, std::size_t at) {
        int const v = std::to_integer<int>(p[at / 2]) >> (at % 2 * 4) & 15;
        return v < 8 ? v : v - 16;
    }
    static double code(double x) {
        double const q = std::nearbyint(x / static_cast<double>(transfer_scale)) + transfer_zero_point;
        return std::clamp(q, -8.0, 7.0);
    }
    [[nodiscard]] double transformed(std::size_t at) const {
        std::size_t const column = at % shape_.row_size, row = at - column;
        double sum = 0;
        for (std::size_t k = 0; k < shape_.row_size; ++k) {
            double const x = static_cast<double>(source_float(row + k));
            sum += hadamard_entry_is_minus(core_.view(), order_, k, column) ? -x : x;
        }
        return sum / std::sqrt(static_cast<double>(shape_.row_size));
    }
    [[nodiscard]] double rescaled(std::size_t at) const {
        std::size_t const row = at - at % shape_.row_size;
        double sum = 0;
        for (std::size_t k = 0; k < shape_.row_size; ++k)
            sum += std::pow(2.0 * static_cast<double>(source_float(row + k)), 2);
        return 2.0 * static_cast<double>(source_float(at)) /
               std::sqrt(sum / static_cast<double>(shape_.row_size) + 1e-5);
    }

    [[nodiscard]] double expected(std::size_t at) const {
        switch (kind_) {
            case transfer_kind::hadamard:
                return transformed(at);
            case transfer_kind::hadamard_rescale_pack:
                return code(0.5 * transformed(at));
            case transfer_kind::quantize_pack:
                return code(static_cast<double>(source_float(at)));
            case transfer_kind::residual_scale:
                return code(rescaled(at));
            case transfer_kind::pack:
                return std::to_integer<std::int8_t>(first_[at]);
            case transfer_kind::unpack:
                return nibble(first_.data(), at);
            case transfer_kind::dequantize:
                return 0.5 * nibble(first_.data(), at);
        }
        return 0;
    }
    [[nodiscard]] double found(arrays const& a, std::size_t at) const {
        float x = 0;
        switch (kind_) {
            case transfer_kind::hadamard:
                std::memcpy(&x, a.source.data() + at * sizeof x, sizeof x);
                return static_cast<double>(x);
            case transfer_kind::dequantize:
                std::memcpy(&x, a.target.data() + at * sizeof x, sizeof x);
                return static_cast<double>(x);
            case transfer_kind::unpack:
                return std::to_integer<std::int8_t>(a.target[at]);
            default:
                return nibble(a.target.data(), at);
        }
    }

    transfer_kind kind_;
    sliced shape_;
    std::vector<std::byte> const& first_;
    hadamard_order order_{};
    dynamic_sign_rows core_{};
};

std::shared_ptr<arrays> made(transfer_kind kind, sliced const& shape) {
    auto const n = static_cast<double>(shape.elements());
    auto const a = std::make_shared<arrays>();
    a->source_step = static_cast<std::size_t>(source_bytes(kind, n));
    a->target_step = static_cast<std::size_t>(target_bytes(kind, n));
    a->source = buffer<std::byte>(a->source_step * shape.n_slices());
    if (kind != transfer_kind::hadamard) a->target = buffer<std::byte>(a->target_step * shape.n_slices());
    std::uint32_t state = 1;
    auto const next = [&state] { return state = state * 1664525U + 1013904223U; };
    if (reads_floats(kind)) {
        auto* const x = reinterpret_cast<float*>(a->source.data());
        for (std::size_t i = 0; i < a->source.size() / sizeof(float); ++i)
            x[i] = static_cast<float>(static_cast<std::int32_t>(next())) * 0x1p-30F;
    } else {
        for (std::byte& b : a->source) {
            std::uint32_t const v = next() >> 24;
            b = kind == transfer_kind::pack ? static_cast<std::byte>(static_cast<std::int8_t>(v % 16) - 8)
                                            : static_cast<std::byte>(v);
        }
    }
    a->first.assign(a->source.data(), a->source.data() + a->source_step);
    return a;
}

}  // namespace

double source_bytes(transfer_kind kind, double elements) {
    return elements * (reads_floats(kind) ? 4 : kind == transfer_kind::pack ? 1 : 0.5);
}

double target_bytes(transfer_kind kind, double elements) {
    switch (kind) {
        case transfer_kind::hadamard:
        case transfer_kind::dequantize:
            return elements * 4;
        case transfer_kind::unpack:
            return elements;
        case transfer_kind::residual_scale:  // and the rows in place
            return elements * 4.5;
        default:
            return elements * 0.5;
    }
}

void enter_transfers(std::vector<contestant>& in, session const& s, transfer_kind kind, sliced const& shape,
                     std::string const& suffix) {
    std::shared_ptr<arrays> const a = made(kind, shape);
    for (named_build const& b : s.entered_builds()) {
        transfer const t = b.build->make_transfer(kind, shape.n_rows, shape.row_size);
        if (!t) continue;
        std::size_t const n_slices = shape.n_slices();
        auto const run = [t, a, n_slices] {
            std::size_t const slice = a->turn++ % n_slices;
            t(a->source.data() + slice * a->source_step, a->target.data() + slice * a->target_step);
        };
        auto const error = [kind, shape, a] {
            double const e = reference(kind, shape, a->first).error(*a);
            a->begin_again();
            return e;
        };
        // A code next to a tie may go either way where floats are summed in another order.
        bool const sums =
            kind == transfer_kind::hadamard_rescale_pack || kind == transfer_kind::residual_scale;
        double const tolerance = kind == transfer_kind::hadamard ? 1e-5 : sums ? 1.0 : 0.0;
        auto const n = static_cast<double>(shape.elements());
        in.push_back(
            {b.name + suffix, {0, source_bytes(kind, n) + target_bytes(kind, n), n}, run, error, tolerance});
    }
}

}  // namespace commutant::bench
