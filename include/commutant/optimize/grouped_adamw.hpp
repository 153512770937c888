// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/optimize/adamw.hpp>
#include <commutant/optimize/parameter_group.hpp>
#include <commutant/optimize/tape_matrix.hpp>

namespace commutant {

/// AdamW on named parameters of a tape, with a learning rate for each group.
template <class T> class grouped_adamw {
public:
    using matrix = tape_matrix<T>;

    /// A parameter with the state of its optimiser.
    struct entry {
        parameter_group group;
        std::string name;
        matrix parameter;
        adamw<T> state;

        [[nodiscard]] double gradient_norm() { return static_cast<double>(gradient().norm()); }
        [[nodiscard]] typename eigen_matrix<T>::storage& gradient() { return parameter.gradient_in_place(); }
    };

    explicit grouped_adamw(adamw_options const& options = {}) : options_(options) {}

    /// Shares values and gradient with the caller's handle.
    /// Errors    std::logic_error if x is no parameter
    void add(parameter_group group, std::string name, matrix const& x) {
        if (!x.is_parameter())
            throw std::logic_error("grouped_adamw::add: " + name + " is not a parameter of the tape");
        entries_.push_back({group, std::move(name), x, adamw<T>(x.size(), options_)});
    }

    [[nodiscard]] std::vector<entry>& entries() noexcept { return entries_; }
    [[nodiscard]] std::vector<entry> const& entries() const noexcept { return entries_; }

    /// One step along the gradients, which are cleared. A parameter whose new values are refused keeps its old ones.
    ///
    /// accepts   (entry const&) -> bool
    template <class F> void step(group_values const& learning_rates, F accepts) {
        for (entry& e : entries_) {
            auto const& g = e.gradient();
            auto const before = e.parameter.value();
            e.state.step(e.parameter.values_in_place().elements(),
                         std::span<T const>(g.data(), static_cast<std::size_t>(g.size())),
                         learning_rates[static_cast<std::size_t>(e.group)]);
            e.parameter.clear_gradient();
            if (!accepts(std::as_const(e))) e.parameter.values_in_place() = before;
        }
    }

    /// Euclidean norm of each group's gradient.
    [[nodiscard]] group_values gradient_norms() {
        group_values squares{};
        for (entry& e : entries_)
            squares[static_cast<std::size_t>(e.group)] += e.gradient_norm() * e.gradient_norm();
        for (double& x : squares) x = std::sqrt(x);
        return squares;
    }

    /// The parameters' values, to come back to.
    [[nodiscard]] std::vector<eigen_matrix<T>> values() const {
        std::vector<eigen_matrix<T>> v;
        for (entry const& e : entries_) v.push_back(e.parameter.value());
        return v;
    }
    void set_values(std::vector<eigen_matrix<T>> const& v) {
        for (std::size_t k = 0; k < entries_.size(); ++k) entries_[k].parameter.values_in_place() = v.at(k);
    }
    /// Euclidean distance of each group from earlier values.
    [[nodiscard]] group_values distances(std::vector<eigen_matrix<T>> const& from) const {
        group_values squares{};
        for (std::size_t k = 0; k < entries_.size(); ++k)
            squares[static_cast<std::size_t>(entries_[k].group)] +=
                static_cast<double>((entries_[k].parameter.value().values - from.at(k).values).squaredNorm());
        for (double& x : squares) x = std::sqrt(x);
        return squares;
    }

private:
    adamw_options options_;
    std::vector<entry> entries_{};
};

}  // namespace commutant
