// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/residual_scale.hpp>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace {

using namespace commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

std::vector<std::size_t> lengths() {
    std::vector<std::size_t> n;
    for (std::size_t i = 1; i <= 70; ++i) n.push_back(i);
    for (std::size_t i : {95, 96, 97, 127, 128, 129, 191, 193, 255, 256, 257, 511, 513, 1025, 4096})
        n.push_back(i);
    return n;
}

void fill_normal(std::span<float> x, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
}

template <class T> bool same_bits(std::span<T const> a, std::span<T const> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// The buffers of one call, twice: by a body, and by the scalar one.
struct run_of {
    guarded_buffer<float> x, branch, gain, s, normalised;
    guarded_buffer<std::int8_t> codes;
    guarded_buffer<std::uint8_t> packed;
    guarded_buffer<float> scale;
    guarded_buffer<std::int32_t> zero_point;

    run_of(std::size_t n_rows, std::size_t n, against side)
        : x(n_rows * n, side),
          branch(n_rows * n, side),
          gain(n, side),
          s(n_rows),
          normalised(n_rows * n, side),
          codes(n_rows * n, side),
          packed(n_rows * packed_int4_size(n), side),
          scale(n_rows),
          zero_point(n_rows) {
        fill_normal(x.elements(), 1);
        fill_normal(branch.elements(), 2);
        fill_normal(gain.elements(), 3);
        for (std::size_t r = 0; r < n_rows; ++r) s[r] = 0.5F + 0.3F * static_cast<float>(r);
    }

    bool operator==(run_of const& o) const {
        return same_bits(x.elements(), o.x.elements()) && same_bits(s.elements(), o.s.elements()) &&
               same_bits(normalised.elements(), o.normalised.elements()) &&
               same_bits(codes.elements(), o.codes.elements()) &&
               same_bits(packed.elements(), o.packed.elements()) &&
               same_bits(scale.elements(), o.scale.elements()) &&
               same_bits(zero_point.elements(), o.zero_point.elements());
    }

    detail::code_sink sink(int kind) {
        code_grid const g{0.4F, 1, kind == 2 ? 4 : 8};
        switch (kind) {
            case 1:
                return detail::sink_of(static_codes{g, codes.elements()});
            case 2:
                return detail::sink_of(static_nibbles{g, packed.elements()});
            case 3:
                return detail::sink_of(
                    dynamic_codes{8, false, codes.elements(), scale.elements(), zero_point.elements()});
            case 4:
                return detail::sink_of(
                    dynamic_nibbles{4, true, packed.elements(), scale.elements(), zero_point.elements()});
            default:
                return {};
        }
    }
};

}  // namespace

TEST_CASE("residual: every body rounds as the scalar body does", "[kernels][residual]") {
    for (auto const& body : detail::residual_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (std::size_t const n : lengths()) {
            constexpr std::size_t n_rows = 2;
            for (int variant = 0; variant < 40; ++variant) {
                int const kind = variant % 5;
                bool const with_branch = variant / 5 % 2 == 0;
                bool const with_s = variant / 10 % 2 == 0;
                bool const other = variant / 20 % 2 == 0;  // plain eps; or a gain
                against const side = other ? against::end : against::begin;
                run_of fast(n_rows, n, side), slow(n_rows, n, side);
                for (run_of* const run : {&fast, &slow}) {
                    auto const branch = with_branch ? run->branch.elements() : std::span<float>{};
                    residual_step const step{n_rows, 0.01F,
                                             other ? residual_eps::plain : residual_eps::exact};
                    detail::residual_job const job =
                        with_s ? detail::scale_job(run->x.elements(), branch, run->s.elements(), step,
                                                   run->sink(kind))
                               : detail::norm_job(run->x.elements(), branch,
                                                  other ? run->gain.elements() : std::span<float>{}, step,
                                                  run->normalised.data(), kind != 0, run->sink(kind));
                    (run == &fast ? body.function : detail::residual_scale_scalar)(job);
                }
                INFO("n " << n << ", variant " << variant);
                REQUIRE(fast == slow);
            }
        }
    }
}

TEST_CASE("residual: a branch that is x itself", "[kernels][residual]") {
    for (auto const& body : detail::residual_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (std::size_t const n : lengths()) {
            constexpr std::size_t n_rows = 2;
            for (bool const with_s : {false, true}) {
                run_of apart(n_rows, n, against::end), itself(n_rows, n, against::end);
                for (run_of* const run : {&apart, &itself}) {
                    std::copy_n(run->x.data(), run->x.size(), run->branch.data());
                    std::span<float const> const branch =
                        run == &itself ? run->x.elements() : run->branch.elements();
                    residual_step const step{n_rows, 0.01F, residual_eps::plain};
                    body.function(with_s
                                      ? detail::scale_job(run->x.elements(), branch, run->s.elements(), step,
                                                          run->sink(2))
                                      : detail::norm_job(run->x.elements(), branch, run->gain.elements(),
                                                         step, run->normalised.data(), true, run->sink(2)));
                }
                INFO("n " << n << ", s " << with_s);
                REQUIRE(apart == itself);
            }
        }
    }
}

TEST_CASE("scale_residual: the step of the residual stream", "[kernels][residual]") {
    for (residual_eps const rule : {residual_eps::exact, residual_eps::plain}) {
        for (std::size_t const n : {std::size_t{1}, std::size_t{65}, std::size_t{4096}}) {
            constexpr std::size_t n_rows = 3;
            run_of run(n_rows, n, against::end);
            std::vector<double> expected(n_rows * n), expected_s(n_rows);
            double const eps = 0.01;
            for (std::size_t r = 0; r < n_rows; ++r) {
                double sum = 0.0;
                for (std::size_t i = r * n; i < (r + 1) * n; ++i) {
                    expected[i] = static_cast<double>(run.x[i]) + static_cast<double>(run.branch[i]);
                    sum += expected[i] * expected[i];
                }
                double const s = run.s[r];
                double const rms = std::sqrt(sum / static_cast<double>(n) +
                                             (rule == residual_eps::exact ? eps * s * s : eps));
                for (std::size_t i = r * n; i < (r + 1) * n; ++i) expected[i] /= rms;
                expected_s[r] = s / rms;
            }
            scale_residual(run.x.elements(), run.branch.elements(), run.s.elements(), {n_rows, 0.01F, rule},
                           dynamic_codes{8, true, run.codes.elements(), run.scale.elements(),
                                         run.zero_point.elements()});
            for (std::size_t r = 0; r < n_rows; ++r) {
                REQUIRE(run.s[r] == Approx(expected_s[r]).epsilon(2e-6));
                for (std::size_t i = r * n; i < (r + 1) * n; ++i) {
                    REQUIRE(run.x[i] == Approx(expected[i]).epsilon(2e-6).margin(1e-6));
                    REQUIRE(std::abs(run.x[i] - run.scale[r] * static_cast<float>(run.codes[i])) <=
                            0.5001F * run.scale[r]);
                }
            }
        }
    }
}

TEST_CASE("start_scaled_residual: rows of mean square one, and their scales", "[kernels][residual]") {
    constexpr std::size_t n = 100, n_rows = 4;
    run_of run(n_rows, n, against::end);
    std::vector<float> const before(run.x.elements().begin(), run.x.elements().end());
    start_scaled_residual(run.x.elements(), run.s.elements(), {n_rows, 0.0F});
    for (std::size_t r = 0; r < n_rows; ++r) {
        double sum = 0.0;
        for (std::size_t i = r * n; i < (r + 1) * n; ++i) {
            sum += static_cast<double>(run.x[i]) * static_cast<double>(run.x[i]);
            REQUIRE(run.x[i] == Approx(before[i] * run.s[r]).epsilon(1e-6));
        }
        REQUIRE(sum / n == Approx(1.0).epsilon(1e-5));
    }
}

TEST_CASE("add_rms_norm: keeps the sum and normalises a copy", "[kernels][residual]") {
    constexpr std::size_t n = 77, n_rows = 3;
    run_of run(n_rows, n, against::end);
    std::vector<float> const before(run.x.elements().begin(), run.x.elements().end());
    add_rms_norm(run.x.elements(), run.branch.elements(), run.gain.elements(), {n_rows, 1e-5F},
                 run.normalised.elements());
    for (std::size_t r = 0; r < n_rows; ++r) {
        double sum = 0.0;
        for (std::size_t i = r * n; i < (r + 1) * n; ++i) {
            REQUIRE(run.x[i] == before[i] + run.branch[i]);
            sum += static_cast<double>(run.x[i]) * static_cast<double>(run.x[i]);
        }
        double const inverse = 1.0 / std::sqrt(sum / n + 1e-5);
        for (std::size_t i = r * n; i < (r + 1) * n; ++i)
            REQUIRE(run.normalised[i] ==
                    Approx(run.x[i] * inverse * run.gain[i - r * n]).epsilon(2e-6).margin(1e-7));
    }
}
