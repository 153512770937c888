// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/readings/eigen_matrix.hpp>

namespace commutant {

/// One recorded operation, or a parameter: where gradients of a result are collected and sent on from.
///
/// Nodes point at their inputs, never at their users, so that a graph lives exactly as long as somebody holds its end.
template <class T> class tape_node {
public:
    using storage = typename eigen_matrix<T>::storage;
    using pointer = std::shared_ptr<tape_node>;

    tape_node(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols) {}
    tape_node(tape_node const&) = delete;
    tape_node& operator=(tape_node const&) = delete;
    virtual ~tape_node() { release_inputs(); }

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t cols() const { return cols_; }
    [[nodiscard]] bool has_gradient() const { return has_gradient_; }
    /// What has arrived so far; without has_gradient() it means nothing.
    [[nodiscard]] storage& gradient() { return gradient_; }

    /// gradient += x, for any Eigen expression or matrix of this node's shape.
    template <class Expression> void add(Expression&& x) {
        if (has_gradient_) {
            gradient_ += x;
        } else {
            gradient_ = std::forward<Expression>(x);
            has_gradient_ = true;
        }
    }
    /// gradient += a b, straight from GEMM.
    template <class A, class B> void add_product(A const& a, B const& b) {
        if (has_gradient_)
            gradient_.noalias() += a * b;
        else
            gradient_.noalias() = a * b;
        has_gradient_ = true;
    }
    /// The gradient to add to piece by piece; zeros if nothing has arrived yet.
    [[nodiscard]] storage& gradient_to_fill() {
        if (!has_gradient_)
            gradient_.setZero(static_cast<Eigen::Index>(rows_), static_cast<Eigen::Index>(cols_));
        has_gradient_ = true;
        return gradient_;
    }
    void clear_gradient() {
        gradient_ = storage();
        has_gradient_ = false;
    }

    [[nodiscard]] std::vector<pointer> const& inputs() const { return inputs_; }
    [[nodiscard]] bool is_parameter() const { return is_parameter_; }
    /// Whether its gradient has been sent on, after which it can send no other.
    [[nodiscard]] bool is_spent() const { return is_spent_; }

    /// Sends the gradient on and lets go of everything held for that.
    void finish() {
        if (has_gradient_) pass_back();
        is_spent_ = true;
        release();
        release_inputs();
        clear_gradient();
    }

    bool visited = false;  ///< used by backward()

protected:
    /// Adds this node's gradient, which it may consume, to its inputs; constant inputs are null.
    virtual void pass_back() = 0;
    /// Lets go of the values that pass_back needed.
    virtual void release() = 0;

    std::vector<pointer> inputs_{};
    bool is_parameter_ = false;

private:
    /// Frees a long chain of nodes in a loop, since one destructor inside the other would exhaust the stack.
    void release_inputs() {
        std::vector<pointer> doomed = std::move(inputs_);
        inputs_.clear();
        while (!doomed.empty()) {
            pointer const last = std::move(doomed.back());
            doomed.pop_back();
            if (last == nullptr || last.use_count() != 1) continue;
            for (auto& input : last->inputs_) doomed.push_back(std::move(input));
            last->inputs_.clear();
        }
    }

    std::size_t rows_;
    std::size_t cols_;
    storage gradient_{};
    bool has_gradient_ = false;
    bool is_spent_ = false;
};

namespace detail {

template <class T> class parameter_node final : public tape_node<T> {
public:
    parameter_node(std::size_t rows, std::size_t cols) : tape_node<T>(rows, cols) {
        this->is_parameter_ = true;
    }

protected:
    void pass_back() override {}
    void release() override {}
};

/// Values that several matrices and nodes may share; the version counts writes in place.
template <class T> struct tape_buffer {
    eigen_matrix<T> matrix{};
    std::uint64_t version = 0;
};

}  // namespace detail

/// Row-major matrix that remembers how it was computed: the matrix type of training.
///
/// Brings every word of core/matrix.hpp with its adjoint, so that the decoder, the transforms and the merges that run on
/// eigen_matrix train unchanged. Values and shapes are those of eigen_matrix, bit for bit. Three sorts: constants (no
/// gradient, and nothing is recorded for what depends on constants alone), parameters (gradients add up in them), and
/// results of operations on these.
///
/// Copies share values until one of them is written to, so a write through one handle is never seen by another, nor by an
/// operation that has read the old values.
/// Note      one graph belongs to one thread; threads share values, not parameters: see replica()
template <class T> class tape_matrix {
public:
    using scalar = T;
    using node_pointer = typename tape_node<T>::pointer;

    /// Nothing: 0 x 0.
    tape_matrix() = default;
    /// Constant zeros.
    tape_matrix(std::size_t rows, std::size_t cols) : tape_matrix(eigen_matrix<T>(rows, cols)) {}
    /// A constant.
    explicit tape_matrix(eigen_matrix<T> values) : buffer_(std::make_shared<detail::tape_buffer<T>>()) {
        buffer_->matrix = std::move(values);
    }

    /// A parameter: backward() adds to its gradient until clear_gradient().
    [[nodiscard]] static tape_matrix parameter(eigen_matrix<T> values) {
        tape_matrix x(std::move(values));
        x.node_ = std::make_shared<detail::parameter_node<T>>(x.rows(), x.cols());
        return x;
    }
    /// A parameter of its own on the same values: one per thread, so that each thread has a gradient of its own.
    [[nodiscard]] tape_matrix replica() const {
        require_parameter("replica");
        tape_matrix x = *this;
        x.node_ = std::make_shared<detail::parameter_node<T>>(rows(), cols());
        return x;
    }
    /// The same values as a constant: gradients stop here. Of a parameter, a copy.
    [[nodiscard]] tape_matrix detached() const {
        if (is_parameter()) return tape_matrix(value());
        tape_matrix x = *this;
        x.node_ = nullptr;
        return x;
    }

    [[nodiscard]] std::size_t rows() const { return buffer_ ? buffer_->matrix.rows() : 0; }
    [[nodiscard]] std::size_t cols() const { return buffer_ ? buffer_->matrix.cols() : 0; }
    [[nodiscard]] std::size_t size() const { return rows() * cols(); }
    [[nodiscard]] eigen_matrix<T> const& value() const { return buffer_ ? buffer_->matrix : nothing(); }
    [[nodiscard]] T const* data() const { return value().data(); }
    [[nodiscard]] T const& operator()(std::size_t i, std::size_t j) const { return buffer_->matrix(i, j); }

    /// Elements of a constant, to be written.
    /// Errors    std::logic_error if the matrix carries a gradient, which the write would make wrong
    [[nodiscard]] T* data() {
        require_constant("data");
        return own_buffer().matrix.data();
    }
    [[nodiscard]] T& operator()(std::size_t i, std::size_t j) {
        require_constant("operator()");
        return own_buffer().matrix(i, j);
    }

    [[nodiscard]] bool carries_gradient() const { return node_ != nullptr; }
    [[nodiscard]] bool is_parameter() const { return node_ != nullptr && node_->is_parameter(); }

    /// Gradient of a parameter; zeros before the first backward().
    [[nodiscard]] eigen_matrix<T> gradient() const {
        require_parameter("gradient");
        return node_->has_gradient() ? eigen_matrix<T>(node_->gradient()) : eigen_matrix<T>(rows(), cols());
    }
    /// The same without a copy, to add to, such as another thread's share.
    [[nodiscard]] typename eigen_matrix<T>::storage& gradient_in_place() {
        require_parameter("gradient_in_place");
        return node_->gradient_to_fill();
    }
    void clear_gradient() {
        require_parameter("clear_gradient");
        node_->clear_gradient();
    }

    /// A parameter's values, to be changed in place for every replica: an optimiser's step.
    ///
    /// A graph recorded before and not yet walked has become stale: backward() on it throws.
    [[nodiscard]] eigen_matrix<T>& values_in_place() {
        require_parameter("values_in_place");
        ++buffer_->version;
        return buffer_->matrix;
    }

    // What words are made of.
    [[nodiscard]] node_pointer const& node() const { return node_; }
    [[nodiscard]] std::shared_ptr<detail::tape_buffer<T>> const& buffer() const { return buffer_; }
    /// The same values with another node to send their gradient to; null makes a constant.
    [[nodiscard]] tape_matrix with_node(node_pointer node) && {
        tape_matrix x = std::move(*this);
        x.node_ = std::move(node);
        return x;
    }
    /// The values: moved out if nobody else holds them, otherwise copied.
    [[nodiscard]] eigen_matrix<T> take_values() && {
        if (buffer_ == nullptr) return {};
        if (buffer_.use_count() != 1 || is_parameter()) return buffer_->matrix;
        return std::move(buffer_->matrix);
    }

private:
    [[nodiscard]] static eigen_matrix<T> const& nothing() {
        static eigen_matrix<T> const empty{};
        return empty;
    }
    [[nodiscard]] detail::tape_buffer<T>& own_buffer() {
        if (buffer_ == nullptr || buffer_.use_count() != 1) {
            auto copy = std::make_shared<detail::tape_buffer<T>>();
            copy->matrix = value();
            buffer_ = std::move(copy);
        }
        return *buffer_;
    }
    void require_parameter(char const* call) const {
        if (!is_parameter())
            throw std::logic_error("tape_matrix::" + std::string(call) + ": the " + std::to_string(rows()) +
                                   " x " + std::to_string(cols()) + " matrix is not a parameter");
    }
    void require_constant(char const* call) const {
        if (node_ != nullptr)
            throw std::logic_error("tape_matrix::" + std::string(call) + ": the " + std::to_string(rows()) +
                                   " x " + std::to_string(cols()) +
                                   " matrix carries a gradient, elements of constants only can be written; "
                                   "read through a const reference");
    }

    std::shared_ptr<detail::tape_buffer<T>> buffer_{};
    node_pointer node_{};
};

/// Values kept for an adjoint, which notices when they have been written to meanwhile.
template <class T> class saved_values {
public:
    explicit saved_values(tape_matrix<T> const& x)
        : buffer_(x.buffer()), version_(buffer_ ? buffer_->version : 0) {}
    /// Kept only if asked for.
    saved_values(tape_matrix<T> const& x, bool needed)
        : buffer_(needed ? x.buffer() : nullptr), version_(buffer_ ? buffer_->version : 0) {}

    /// Errors    std::logic_error if a parameter was changed between the recording and backward()
    [[nodiscard]] typename eigen_matrix<T>::storage const& operator*() const {
        if (buffer_->version != version_)
            throw std::logic_error(
                "backward: a parameter was changed after it was read, record the graph again");
        return buffer_->matrix.values;
    }

private:
    std::shared_ptr<detail::tape_buffer<T> const> buffer_;
    std::uint64_t version_;
};

namespace detail {

template <class T, class F> class operation_node final : public tape_node<T> {
public:
    operation_node(std::size_t rows, std::size_t cols, std::vector<typename tape_node<T>::pointer> inputs,
                   F f)
        : tape_node<T>(rows, cols), adjoint_(std::make_unique<F>(std::move(f))) {
        this->inputs_ = std::move(inputs);
    }

protected:
    void pass_back() override { (*adjoint_)(this->gradient(), this->inputs_); }
    void release() override { adjoint_.reset(); }

private:
    std::unique_ptr<F> adjoint_;
};

}  // namespace detail

/// Nodes of an operation's inputs, in their order; null where the input is a constant.
template <class T> using tape_inputs = std::vector<typename tape_node<T>::pointer>;

/// A result with its adjoint: how every word, and every operation of one's own, is recorded.
///
/// result    fresh values
/// inputs    what they were computed from
/// adjoint   (storage& gradient of the result, tape_inputs<T> const&): adds to inputs[k]->add(...) where inputs[k] is
///           not null; may consume the gradient; keeps the values it needs as saved_values. Dropped unused if every
///           input is constant
template <class T, class F>
[[nodiscard]] tape_matrix<T> recorded(tape_matrix<T> result,
                                      std::initializer_list<tape_matrix<T> const*> inputs, F adjoint) {
    bool any = false;
    for (auto const* input : inputs) any = any || input->carries_gradient();
    if (!any) return result;
    tape_inputs<T> nodes;
    nodes.reserve(inputs.size());
    for (auto const* input : inputs) nodes.push_back(input->node());
    auto node = std::make_shared<detail::operation_node<T, F>>(result.rows(), result.cols(), std::move(nodes),
                                                               std::move(adjoint));
    return std::move(result).with_node(std::move(node));
}

}  // namespace commutant
