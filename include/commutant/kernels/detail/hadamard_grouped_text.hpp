// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Not a header: the text of cores in groups of four, and of the choice among all cores, for registers too few to work in place.
// Included behind hadamard_core_text.hpp, with one more name before it:
//
//   writes_cores   whether the cores of with_written_core are worth the time to compile
#if defined(COMMUTANT_CORE_TARGET)

/// y +- one sum of group Group, for the outputs from First on.
template <class T, class Terms, std::size_t First, std::size_t Group, std::size_t... C>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE void add_terms(typename registers<T>::reg* y,
                                                      typename registers<T>::reg const* sums,
                                                      std::index_sequence<C...>) noexcept {
    using z = registers<T>;
    if constexpr (Group == 0)
        ((y[C] = Terms::is_minus(First + C, 0) ? z::flipped(sums[Terms::sum(First + C, 0)], ~0U)
                                               : sums[Terms::sum(First + C, 0)]),
         ...);
    else
        ((y[C] = Terms::is_minus(First + C, Group) ? z::sub(y[C], sums[Terms::sum(First + C, Group)])
                                                   : z::add(y[C], sums[Terms::sum(First + C, Group)])),
         ...);
}

/// One group for one batch of outputs: the first batch forms the sums and keeps them, later ones load them.
template <class T, class Terms, std::size_t First, std::size_t Count, bool Keep, std::size_t Group>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE void add_group(T const* x, std::size_t stride, T* table,
                                                      typename registers<T>::reg* y) noexcept {
    using z = registers<T>;
    typename z::reg sums[8];
    T* const kept = table + Group * 8 * z::lanes;
    if constexpr (First == 0) {
        T const* const row = x + 4 * Group * stride;
        signed_sums<T>(
            {z::load(row), z::load(row + stride), z::load(row + 2 * stride), z::load(row + 3 * stride)},
            sums);
        if constexpr (Keep) {
#pragma GCC unroll 8
            for (std::size_t m = 0; m < 8; ++m) z::store(kept + m * z::lanes, sums[m]);
        }
    } else {
#pragma GCC unroll 8
        for (std::size_t m = 0; m < 8; ++m) sums[m] = z::load(kept + m * z::lanes);
    }
    add_terms<T, Terms, First, Group>(y, sums, std::make_index_sequence<Count>{});
}

template <class T, class Terms, std::size_t First, std::size_t Count, bool Keep, bool Scale,
          std::size_t... Group>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE void core_batch(T const* x, std::size_t stride, T* target,
                                                       std::size_t width, T* table,
                                                       typename registers<T>::reg factor,
                                                       std::index_sequence<Group...>) noexcept {
    using z = registers<T>;
    typename z::reg y[Count];
    (add_group<T, Terms, First, Count, Keep, Group>(x, stride, table, y), ...);
#pragma GCC unroll 16
    for (std::size_t c = 0; c < Count; ++c) {
        if constexpr (Scale) y[c] = z::mul(y[c], factor);
        z::store(target + (First + c) * width, y[c]);
    }
}

/// A grouped core, one register of columns at a time.
///
/// Shape     x: [Core, width] with rows stride apart; target: [Core, width]; table: [2 * Core] registers
template <class T, std::size_t Core, hadamard_side Side, bool Scale>
COMMUTANT_CORE_TARGET inline void grouped_core(T const* x, std::size_t stride, T* target, std::size_t width,
                                               T* table, T factor) noexcept {
    using z = registers<T>;
    using terms = core_terms<Core, Side>;
    constexpr std::size_t batch = terms::batch(8);
    constexpr std::size_t last = Core % batch == 0 ? batch : Core % batch;
    using groups = std::make_index_sequence<terms::n_groups>;
    typename z::reg const f = z::all(factor);
    for (std::size_t j = 0; j < width; j += z::lanes) {
        core_batch<T, terms, 0, batch, (Core > batch), Scale>(x + j, stride, target + j, width, table, f,
                                                              groups{});
        if constexpr (Core > 2 * batch)
            core_batch<T, terms, batch, batch, true, Scale>(x + j, stride, target + j, width, table, f,
                                                            groups{});
        if constexpr (Core > 3 * batch)
            core_batch<T, terms, 2 * batch, batch, true, Scale>(x + j, stride, target + j, width, table, f,
                                                                groups{});
        if constexpr (Core > batch)
            core_batch<T, terms, Core - last, last, true, Scale>(x + j, stride, target + j, width, table, f,
                                                                 groups{});
    }
}

template <class T, std::size_t Core>
COMMUTANT_CORE_TARGET inline void grouped_core(hadamard_plan const& plan, T const* x, std::size_t stride,
                                               T* target, T* table, T factor) noexcept {
    std::size_t const width = plan.butterflies();
    if (plan.side() == hadamard_side::plain) {
        if (factor == T{1})
            grouped_core<T, Core, hadamard_side::plain, false>(x, stride, target, width, table, factor);
        else
            grouped_core<T, Core, hadamard_side::plain, true>(x, stride, target, width, table, factor);
    } else {
        if (factor == T{1})
            grouped_core<T, Core, hadamard_side::transposed, false>(x, stride, target, width, table, factor);
        else
            grouped_core<T, Core, hadamard_side::transposed, true>(x, stride, target, width, table, factor);
    }
}

/// Rows stride apart to the rows of target, times the core and a factor.
template <class T>
COMMUTANT_CORE_TARGET inline void apply_core(hadamard_plan const& plan, T const* x, std::size_t stride,
                                             T* target, T* table, T factor) noexcept {
    if (with_grouped_core<T>(
            plan.core(), [&](auto core) { grouped_core<T, core>(plan, x, stride, target, table, factor); }))
        return;
    rows_of_core<T> const rows{x, stride, registers<T>::lanes};
    if constexpr (sizeof(T) == 4 && writes_cores) {
        if (with_written_core(plan.core(), [&](auto core) {
                apply_written_core<decltype(core)>(plan, rows, target, table, factor);
            }))
            return;
    }
    any_core(plan, rows, target, table, factor);
}

#endif
