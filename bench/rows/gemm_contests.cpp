// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "rows/gemm_contests.hpp"

#include "neighbours/neighbours.hpp"
#include "peaks/bandwidth.hpp"
#include "peaks/compute.hpp"

namespace commutant::bench {

std::string name_of(std::string const& row, gemm_shape shape) {
    return row + "/M:" + std::to_string(shape.m) + "/N:" + std::to_string(shape.n) +
           "/K:" + std::to_string(shape.k);
}

namespace {

/// Weights of the shape; the last ones again where the contest before had the same, since many copies take long to make.
std::shared_ptr<gemm_weights const> weights_of(gemm_shape shape, std::size_t rotated_bytes) {
    static std::shared_ptr<gemm_weights const> last;
    if (last == nullptr || last->n != shape.n || last->k != shape.k || last->rotated_bytes != rotated_bytes) {
        last = nullptr;
        last = make_gemm_weights(shape, 0, rotated_bytes);
    }
    return last;
}

}  // namespace

std::vector<contestant> gemm_contestants(session const& s, gemm_shape shape, gemm_entries const& entries) {
    std::vector<contestant> r;
    auto const weights = weights_of(shape, entries.rotated_bytes);
    std::shared_ptr<gemm_problem const> bytes;
    for (int bits : entries.activation_bits) {
        auto const p = make_gemm_problem(weights, shape.m, bits, s.n_threads);
        if (bits == 8) bytes = p;
        for (named_build const& b : s.entered_builds()) {
            prepared_gemm made = b.build->gemm(*p);
            if (entries.read && r.empty())
                r.push_back(read_peak("peak read", made.next_weights, made.weight_bytes, s.n_threads));
            enter(r, b.name + " W4A" + std::to_string(bits), p, std::move(made), 1e-6);
        }
    }
    if (bytes != nullptr && entries.onednn)
        for (number_type t : {number_type::fp32, number_type::bf16, number_type::int8})
            enter(r, std::string(to_string(t)) + " oneDNN", bytes, onednn_gemm(t, *bytes), tolerance_of(t));
    if (bytes != nullptr && entries.other_floating_point) {
        double const tolerance = tolerance_of(number_type::fp32);
        enter(r, "fp32 OpenBLAS", bytes, openblas_gemm(*bytes), tolerance);
        enter(r, "fp32 Eigen", bytes, eigen_gemm(*bytes), tolerance);
    }
    for (std::string const& name : entries.peaks)
        for (contestant& peak : compute_peak(name, s.n_threads)) r.push_back(std::move(peak));
    return r;
}

void judge_against_neighbours(contest_result const& r, std::string const& row, measures& into) {
    for (char const* width : {" W4A8", " W4A4"}) {
        timing const* const ours = r.find("commutant" + std::string(width));
        for (char const* type : {"fp32", "bf16", "int8"})
            into.add_ratio(row + "." + type, r.name + width, r.best(type), ours);
        judge_dispatch(r, row, width, into);
    }
}

void judge_dispatch(contest_result const& r, std::string const& row, std::string const& suffix,
                    measures& into) {
    timing const* const plain = r.find("commutant x86-64" + suffix);
    timing const* const native = r.find("commutant" + suffix);
    timing const* const fixed = r.find("commutant fixed" + suffix);
    into.add_ratio("dispatch." + row, r.name + suffix, native, plain);
    into.add_ratio("dispatch-fixed." + row, r.name + suffix, fixed, plain);
}

}  // namespace commutant::bench
