// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Not a header: the text of cores, included once for each instruction set, in a namespace of its own. A target attribute
// cannot be a template's parameter, so what the text leaves open are names that stand before it:
//
//   COMMUTANT_CORE_TARGET   the attribute, a macro
//   registers<T>            the instruction set's register of T: lanes, reg, load, load_apart, store, all, add, sub, mul, fma, flipped
//   less(y, v, one)         y - v, of floats
//   one_apart()             the one that less is given
//   sums_at_once            outputs summed up together, with two columns of each: 2, 4 or 8
//   outputs_at_once         outputs of a block summed up together, one column of each, at most 20; larger blocks are halved
#if defined(COMMUTANT_CORE_TARGET)

static_assert(sums_at_once % 2 == 0 && sums_at_once <= 8 &&
              outputs_at_once <= 20);  // what loops are unrolled to

/// The eight signed sums of the four rows of a group, numbered as core_terms says.
template <class T>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE void signed_sums(typename registers<T>::reg const (&x)[4],
                                                        typename registers<T>::reg* sums) noexcept {
    using z = registers<T>;
    typename z::reg const a0 = z::add(x[0], x[1]), a1 = z::sub(x[0], x[1]);
    typename z::reg const b0 = z::add(x[2], x[3]), b1 = z::sub(x[2], x[3]);
    sums[0] = z::add(a0, b0);
    sums[1] = z::add(a1, b0);
    sums[2] = z::sub(a0, b0);
    sums[3] = z::sub(a1, b0);
    sums[4] = z::add(a0, b1);
    sums[5] = z::add(a1, b1);
    sums[6] = z::sub(a0, b1);
    sums[7] = z::sub(a1, b1);
}

/// A row to fold, see core_half.
template <class T>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE typename registers<T>::reg core_row(
    T const* x, core_half<T> const& half) noexcept {
    using z = registers<T>;
    return half.is_one_of_two() ? z::fma(z::load(x + half.second), z::all(half.sign), z::load(x))
                                : z::load(x);
}

/// Rows of a core: register j of row r is at x + r * row_apart + j * column_apart.
template <class T> struct rows_of_core {
    T const* x;
    std::size_t row_apart, column_apart;
};

/// One register of columns of a core: where its rows come from and go to.
template <class T> struct column_of_core {
    core_half<T> half;
    T const* x;
    std::size_t stride;  ///< of x
    T* target;
    std::size_t width;  ///< from row to row of target
    T factor;
};

/// Register j of half h of the outputs.
template <class T>
[[nodiscard]] inline column_of_core<T> column_of(hadamard_plan const& plan, std::size_t h,
                                                 rows_of_core<T> const& rows, std::size_t j, T* target,
                                                 T factor) noexcept {
    return {core_half<T>(plan, h, rows.row_apart),
            rows.x + j * rows.column_apart,
            rows.row_apart,
            target + j * registers<T>::lanes,
            plan.butterflies(),
            factor};
}

/// An output of row r, times a factor; of one of two halves less twice the other's row.
template <class T>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE void write_output(column_of_core<T> const& c, std::size_t r,
                                                         typename registers<T>::reg y,
                                                         typename registers<T>::reg factor) noexcept {
    using z = registers<T>;
    if (c.half.is_one_of_two()) y = z::fma(z::all(T{-2}), z::load(c.x + r * c.stride + c.half.twice), y);
    z::store(c.target + (c.half.first_output + r) * c.width, z::mul(y, factor));
}

/// What sums of even and odd parts begin with, those of pair i with even[i % 2].
template <class T> struct fold_starts { typename registers<T>::reg even[2], odd; };

/// Folds one register of columns, parts lie size apart; writes rows 0 and 1 of the outputs.
///
/// Note      what it works with is copied first: stores may be to anything, the plan included
template <class T, bool Skew>
COMMUTANT_CORE_TARGET inline fold_starts<T> fold_column(hadamard_plan const& plan, column_of_core<T> const c,
                                                        fold_buffers<T> const to, std::size_t size) noexcept {
    using z = registers<T>;
    std::size_t const n = plan.n_pairs(), n_again = n - plan.block();
    std::uint16_t const *const rows = plan.rows(), *const opposite_rows = plan.opposite_rows();
    auto const sign = static_cast<T>(plan.sign());
    typename z::reg const outer = core_row(c.x, c.half);
    typename z::reg const zero = core_row(c.x + c.stride, c.half);
    typename z::reg total = zero, turned = outer;
    T *even_to = to.even + n * size, *odd_to = to.odd + n * size;
    for (std::size_t i = n; i-- != 0;) {
        even_to -= size;
        odd_to -= size;
        typename z::reg const a = core_row(c.x + rows[i] * c.stride, c.half);
        typename z::reg const b = core_row(c.x + opposite_rows[i] * c.stride, c.half);
        typename z::reg even = z::add(a, b), odd = z::sub(a, b);
        total = z::add(total, even);
        if (!Skew && i % 2 != 0) even = z::flipped(even, ~0U), odd = z::sub(b, a);
        turned = z::add(turned, Skew ? odd : even);
        z::store(even_to, even);
        z::store(odd_to, odd);
        if (i < n_again) {
            z::store(even_to + n * size, even);
            z::store(odd_to + n * size, Skew ? odd : z::flipped(odd, ~0U));
        }
    }
    typename z::reg const factor = z::all(c.factor), nothing = z::all(T{});
    write_output(c, 0, z::fma(z::all(sign), total, outer), factor);
    write_output(c, 1, z::fma(z::all(Skew ? -sign : T{1}), turned, zero), factor);
    // No sum begins as -0: adding nothing, or a finite part times 0, changes none.
    if (Skew) return {{z::add(zero, nothing), z::add(zero, nothing)}, z::sub(nothing, outer)};
    return {{z::add(z::add(outer, zero), nothing), z::add(z::sub(outer, zero), nothing)}, nothing};
}

template <class T>
COMMUTANT_CORE_TARGET inline fold_starts<T> fold_column(hadamard_plan const& plan, column_of_core<T> const& c,
                                                        fold_buffers<T> const& to,
                                                        std::size_t size) noexcept {
    return plan.is_skew() ? fold_column<T, true>(plan, c, to, size)
                          : fold_column<T, false>(plan, c, to, size);
}

/// Outputs a and -a of every pair, from its parts and sums.
template <class T>
COMMUTANT_CORE_TARGET inline void unfold_column(hadamard_plan const& plan, column_of_core<T> const c,
                                                fold_buffers<T> const from, std::size_t size) noexcept {
    using z = registers<T>;
    std::size_t const n = plan.n_pairs();
    std::uint16_t const *const rows = plan.rows(), *const opposite_rows = plan.opposite_rows();
    for (std::size_t parity = 0; parity < 2; ++parity) {
        fold_ends const ends = plan.ends(parity);
        T const* const of_a = ends.first_is_even ? from.even : from.odd;
        T const* const of_b = ends.second_is_even ? from.even : from.odd;
        typename z::reg const weight_a = z::all(static_cast<T>(ends.first_weight));
        typename z::reg const weight_b = z::all(static_cast<T>(ends.second_weight));
        typename z::reg const factor_a = z::all(static_cast<T>(ends.first_factor) * c.factor);
        typename z::reg const factor_b = z::all(static_cast<T>(ends.second_factor) * c.factor);
        for (std::size_t i = parity; i < n; i += 2) {
            typename z::reg const even = z::load(from.even_sums + i * size);
            typename z::reg const odd = z::load(from.odd_sums + i * size);
            write_output(c, rows[i], z::fma(weight_a, z::load(of_a + i * size), z::add(even, odd)), factor_a);
            write_output(c, opposite_rows[i], z::fma(weight_b, z::load(of_b + i * size), z::sub(even, odd)),
                         factor_b);
        }
    }
}

/// Sums of Count outputs in Columns registers of columns, every part times 1, 0 or -1.
///
/// Shape     parts: [n_pairs] from the block's first on; entries: those of the first output; sums: [Count]
template <class T, std::size_t Columns, std::size_t Count>
COMMUTANT_CORE_TARGET inline void some_sums(T const* parts, T const* entries, std::size_t n_pairs,
                                            T const* starts, std::size_t parity, T* sums) noexcept {
    using z = registers<T>;
    typename z::reg y[Count][Columns];
#pragma GCC unroll 8
    for (std::size_t t = 0; t < Count; ++t)
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j)
            y[t][j] = z::load(starts + (((t + parity) % 2) * Columns + j) * z::lanes);
    for (std::size_t s = 0; s < n_pairs; ++s, parts += Columns * z::lanes) {
        T const* const of_pair = entries - s;
        typename z::reg v[Columns];
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j) v[j] = z::load_apart(parts + j * z::lanes);
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Count; ++t) {
            typename z::reg const entry = z::all(of_pair[t]);
#pragma GCC unroll 2
            for (std::size_t j = 0; j < Columns; ++j) y[t][j] = z::fma(v[j], entry, y[t][j]);
        }
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < Count; ++t)
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j) z::store(sums + (t * Columns + j) * z::lanes, y[t][j]);
}

/// The sums of all pairs.
///
/// Shape     starts: [2, Columns] registers, what even and odd outputs begin with
template <class T, std::size_t Columns>
COMMUTANT_CORE_TARGET inline void all_sums(hadamard_plan const& plan, bool of_odd, T const* parts,
                                           T const* starts, T* sums) noexcept {
    constexpr std::size_t size = Columns * registers<T>::lanes;
    std::size_t const n = plan.n_pairs();
    for (std::size_t i = 0; i < n; i += plan.block()) {
        std::size_t const first = fold_begin(n, i);
        T const* const from = parts + first * size;
        T const* const entries = plan.entries<T>(of_odd);
        std::size_t t = 0;
        for (; t + sums_at_once <= plan.block(); t += sums_at_once)
            some_sums<T, Columns, sums_at_once>(from, entries + t, n, starts, first + t,
                                                sums + (first + t) * size);
        for (; t + sums_at_once / 2 <= plan.block(); t += sums_at_once / 2)
            some_sums<T, Columns, sums_at_once / 2>(from, entries + t, n, starts, first + t,
                                                    sums + (first + t) * size);
        for (; t < plan.block(); ++t)
            some_sums<T, Columns, 1>(from, entries + t, n, starts, first + t, sums + (first + t) * size);
    }
}

/// Columns registers of columns of any core.
template <class T, std::size_t Columns>
COMMUTANT_CORE_TARGET inline void any_core_columns(hadamard_plan const& plan, rows_of_core<T> rows,
                                                   std::size_t column, T* target, T* scratch,
                                                   T factor) noexcept {
    using z = registers<T>;
    constexpr std::size_t size = Columns * z::lanes;
    alignas(64) T starts[2][2 * size];  // of even parts, of odd parts
    fold_buffers<T> const parts(plan, scratch, size);
    for (std::size_t h = 0; h < plan.n_halves(); ++h) {
        for (std::size_t j = 0; j < Columns; ++j) {
            fold_starts<T> const s = fold_column<T>(
                plan, column_of(plan, h, rows, column + j, target, factor), parts.from(j * z::lanes), size);
            z::store(starts[0] + j * z::lanes, s.even[0]);
            z::store(starts[0] + size + j * z::lanes, s.even[1]);
            z::store(starts[1] + j * z::lanes, s.odd);
            z::store(starts[1] + size + j * z::lanes, s.odd);
        }
        all_sums<T, Columns>(plan, false, parts.even, starts[0], parts.even_sums);
        all_sums<T, Columns>(plan, true, parts.odd, starts[1], parts.odd_sums);
        for (std::size_t j = 0; j < Columns; ++j)
            unfold_column<T>(plan, column_of(plan, h, rows, column + j, target, factor),
                             parts.from(j * z::lanes), size);
    }
}

template <class T>
COMMUTANT_CORE_TARGET inline void any_core(hadamard_plan const& plan, rows_of_core<T> rows, T* target,
                                           T* scratch, T factor) noexcept {
    std::size_t const n_columns = plan.butterflies() / registers<T>::lanes;
    if (n_columns == 1) return any_core_columns<T, 1>(plan, rows, 0, target, scratch, factor);
    for (std::size_t j = 0; j < n_columns; j += 2)
        any_core_columns<T, 2>(plan, rows, j, target, scratch, factor);
}

/// Adds part v of the pair S behind a block's first to its outputs First ...
///
/// Note      a choice of three expressions: a function template for each takes compilers half as long again
template <class Core, bool OfOdd, std::size_t First, std::size_t S, std::size_t... O>
COMMUTANT_CORE_TARGET COMMUTANT_INLINE void add_part(typename registers<float>::reg* y,
                                                     typename registers<float>::reg v,
                                                     typename registers<float>::reg one,
                                                     std::index_sequence<O...>) noexcept {
    using z = registers<float>;
    ((y[O] = Core::entry(OfOdd, First + O, S) == 0  ? y[O]
             : Core::entry(OfOdd, First + O, S) > 0 ? z::add(y[O], v)
                                                    : less(y[O], v, one)),
     ...);
}

/// The sums of outputs First .. of one block, every addition written out.
///
/// Shape     parts: [n_pairs] registers from the block's first on; sums: [block] registers
template <class Core, bool OfOdd, std::size_t First, std::size_t Count, std::size_t... S>
[[gnu::noinline]] COMMUTANT_CORE_TARGET inline void block_sums(float const* parts, float* sums,
                                                               typename registers<float>::reg first,
                                                               typename registers<float>::reg second,
                                                               std::index_sequence<S...>) noexcept {
    using z = registers<float>;
    typename registers<float>::reg const one = one_apart();
    typename registers<float>::reg y[Count];
#pragma GCC unroll 20
    for (std::size_t t = 0; t < Count; ++t) y[t] = (First + t) % 2 == 0 ? first : second;
    (add_part<Core, OfOdd, First, S>(y, z::load(parts + S * z::lanes), one,
                                     std::make_index_sequence<Count>{}),
     ...);
#pragma GCC unroll 20
    for (std::size_t t = 0; t < Count; ++t) z::store(sums + (First + t) * z::lanes, y[t]);
}

template <class Core, bool OfOdd>
COMMUTANT_CORE_TARGET inline void written_sums(float const* parts, typename registers<float>::reg even_pair,
                                               typename registers<float>::reg odd_pair,
                                               float* sums) noexcept {
    constexpr std::size_t lanes = registers<float>::lanes;
    constexpr std::size_t some = Core::block <= outputs_at_once ? Core::block : (Core::block + 1) / 2;
    using pairs = std::make_index_sequence<Core::n_pairs>;
    for (std::size_t i = 0; i < Core::n_pairs; i += Core::block) {
        std::size_t const begin = fold_begin(Core::n_pairs, i);
        float const* const from = parts + begin * lanes;
        float* const to = sums + begin * lanes;
        typename registers<float>::reg const first = begin % 2 == 0 ? even_pair : odd_pair,
                                             second = begin % 2 == 0 ? odd_pair : even_pair;
        block_sums<Core, OfOdd, 0, some>(from, to, first, second, pairs{});
        if constexpr (some < Core::block)
            block_sums<Core, OfOdd, some, Core::block - some>(from, to, first, second, pairs{});
    }
}

/// A folded core known to the compiler.
template <class Core>
COMMUTANT_CORE_TARGET inline void apply_written_core(hadamard_plan const& plan, rows_of_core<float> rows,
                                                     float* target, float* scratch, float factor) noexcept {
    using z = registers<float>;
    fold_buffers<float> const parts(plan, scratch, z::lanes);
    for (std::size_t j = 0; j < plan.butterflies() / z::lanes; ++j)
        for (std::size_t h = 0; h < plan.n_halves(); ++h) {
            column_of_core<float> const column = column_of(plan, h, rows, j, target, factor);
            fold_starts<float> const starts = fold_column<float>(plan, column, parts, z::lanes);
            written_sums<Core, false>(parts.even, starts.even[0], starts.even[1], parts.even_sums);
            written_sums<Core, true>(parts.odd, starts.odd, starts.odd, parts.odd_sums);
            unfold_column<float>(plan, column, parts, z::lanes);
        }
}

#endif
