// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include <commutant/io/decoder_tensors.hpp>
#include <commutant/optimize/tape.hpp>

namespace commutant {

/// Whether a tensor, by its name, is a weight: no gain and no bias.
[[nodiscard]] inline bool is_weight_name(std::string_view name) {
    return !name.ends_with(".bias") && !name.ends_with("norm.weight");
}

/// (mean |w|^p)^(1/p) of a weight that comes in pieces.
class piecewise_norm {
public:
    /// A piece, looked at a few rows at a time.
    template <class T> void add(eigen_matrix<T> const& w, int p) {
        constexpr std::size_t at_a_time = 256;
        for (std::size_t begin = 0; begin < w.rows(); begin += at_a_time) {
            std::size_t const n = begin + at_a_time < w.rows() ? at_a_time : w.rows() - begin;
            auto const norm = lp_norm(tape_matrix<T>(row_block(w, begin, n)), p);
            powers_ +=
                std::pow(static_cast<double>(norm.value()(0, 0)), p) * static_cast<double>(n * w.cols());
        }
        size_ += static_cast<double>(w.size());
    }
    /// What another collected of other pieces.
    void add(piecewise_norm const& other) { powers_ += other.powers_, size_ += other.size_; }

    [[nodiscard]] double value(int p) const { return size_ == 0 ? 0 : std::pow(powers_ / size_, 1.0 / p); }

private:
    double powers_ = 0;  ///< sum of |w|^p
    double size_ = 0;
};

/// (mean |w|^p)^(1/p) of a matrix.
template <class T> [[nodiscard]] double lp_norm_of(eigen_matrix<T> const& w, int p) {
    piecewise_norm norm;
    norm.add(w, p);
    return norm.value(p);
}

/// What samples say of the norms (mean |W|^p)^(1/p) of a decoder's weights, and how samples stand for the whole in a loss.
///
/// A sample of n elements drawn without preference has mean |W|^p in expectation, and its gradient is that of the mean.
/// The root of that mean is not so: its slope c = 1/p (mean |W|^p)^(1/p - 1) would come from the same sample as what it
/// multiplies. Here c comes from the samples before this one. So the expected gradient of a sample's share of the loss
///
///   c mean |W_sample|^p,  as a function of W_sample: (y / R)^(p-1) y', y the sample's norm, R that of those before
///
/// is c times the gradient of the whole weight's mean |W|^p: that of its norm, up to the one positive factor by which c is
/// off. A weight that is taken whole needs no estimate: R is its norm.
class norm_estimates {
public:
    /// Share of the past in a running mean.
    static constexpr double memory = 0.9;

    norm_estimates(model_config c, int p) : p_(p) {
        c.tied_head = false;
        for (auto const& t : io::decoder_tensors(c))
            if (is_weight_name(t.name)) weights_[t.name].size = t.shape[0] * t.shape[1];
    }

    [[nodiscard]] int p() const noexcept { return p_; }

    /// Another sample's norm.
    void add(std::string const& name, double norm) {
        weight& w = weights_.at(name);
        double const power = std::pow(norm, p_);
        w.mean_power = w.is_known ? memory * w.mean_power + (1 - memory) * power : power;
        w.is_known = true;
    }

    /// What the norm of a sample that has not been added is multiplied by in the loss.
    [[nodiscard]] double factor(std::string const& name, double norm, std::size_t sample_size) const {
        weight const& w = weights_.at(name);
        if (!w.is_known || sample_size == w.size || w.mean_power == 0) return 1;
        return std::pow(norm / std::pow(w.mean_power, 1.0 / p_), p_ - 1);
    }

    /// Sum of the norms of all weights that samples have been seen of.
    [[nodiscard]] double sum() const {
        double total = 0;
        for (auto const& [name, w] : weights_) total += std::pow(w.mean_power, 1.0 / p_);
        return total;
    }

private:
    struct weight {
        std::size_t size = 0;
        double mean_power = 0;
        bool is_known = false;
    };

    int p_;
    std::map<std::string, weight> weights_{};
};

}  // namespace commutant
