// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <commutant/recipes/distillation_checkpoint.hpp>
#include <commutant/recipes/fingerprints.hpp>
#include <support/training_models.hpp>

#include "io_support.hpp"

namespace cm = commutant;
using namespace cm::testing;
using float32 = cm::eigen_matrix<float>;

namespace {

/// What an evaluation text is in: nothing that trains takes it.
using plain_windows = cm::token_sequences;
static_assert(!std::convertible_to<plain_windows, cm::training_windows>);
static_assert(!std::convertible_to<plain_windows, cm::held_out_windows>);
static_assert(!std::constructible_from<cm::training_windows, plain_windows>);
static_assert(!std::constructible_from<cm::held_out_windows, cm::training_windows>);

cm::quantization_settings small_settings(char const* bits = "4-4-4") {
    auto s = cm::with_bits({}, cm::parse_bit_widths(bits));
    s.covers = cm::coverage::plus_bmm;
    return s;
}

cm::token_sequences random_windows(std::size_t n) {
    cm::random_source random(31);
    cm::token_sequences windows(n);
    for (auto& window : windows) {
        window.push_back(1);
        while (window.size() < 6) window.push_back(static_cast<int>(random.next_below(7)));
    }
    return windows;
}

cm::student_parameters<running> small_student(cm::decoder<running> const& teacher,
                                              cm::transform_parameters<running> transforms,
                                              cm::quantization_settings const& settings) {
    auto merged = teacher;
    cm::fold_parameters(transforms, cm::eps_rule::exact, merged);
    auto const grids = cm::set_grids(merged, random_windows(4), settings);
    return {std::move(transforms), cm::parameters_of<running>(grids, settings)};
}

std::vector<running> values_of(cm::student_parameters<running> const& p) {
    std::vector<running> values;
    cm::visit_student(p, [&](auto, auto const&, running const& x) { values.push_back(x); });
    return values;
}
template <class M>
cm::student_parameters<M> with_values(cm::student_parameters<running> const& p,
                                      std::vector<M> const& values) {
    auto r = cm::mapped<M>(p, [](running const& x) { return M(x); });
    std::size_t next = 0;
    cm::visit_student(r, [&](auto, auto const&, M& x) { x = values[next++]; });
    return r;
}

/// Fake quantisation with every rounding held where it was when its tensor was first seen: the smooth function whose exact
/// gradient the straight-through gradient is.
class held_rounding {
public:
    running operator()(std::string const& name, running x, running const& scale, running const& zero_point,
                       cm::grid_format format) {
        auto [found, is_new] = seen_.try_emplace(name);
        held& h = found->second;
        std::size_t const slice = x.size() / scale.cols();
        if (is_new) h = held(x, cm::nearest_grids(scale, zero_point, format), zero_point, slice);
        for (std::size_t k = 0; k < x.size(); ++k) {
            std::size_t const i = k / slice;
            double const s = scale(0, i), z = format.symmetric ? 0 : zero_point(0, i) + h.of_zero_point[i];
            x.data()[k] = h.clipped[k] ? s * (h.offset[k] - z) : x.data()[k] + s * h.offset[k];
        }
        return x;
    }
    [[nodiscard]] std::size_t n_clipped() const {
        std::size_t n = 0;
        for (auto const& [name, h] : seen_)
            n += static_cast<std::size_t>(std::count(h.clipped.begin(), h.clipped.end(), true));
        return n;
    }

private:
    struct held {
        held() = default;
        held(running const& x, std::vector<cm::grid> const& grids, running const& zero_point,
             std::size_t slice) {
            for (std::size_t i = 0; i < zero_point.size(); ++i)
                of_zero_point.push_back(grids[i].zero_point - zero_point(0, i));
            for (std::size_t k = 0; k < x.size(); ++k) {
                cm::grid const& g = grids[k / slice];
                double const u = x.data()[k] / static_cast<double>(g.scale);
                double const code = std::nearbyint(u) + g.zero_point;
                bool const below = code<g.lo(), above = code> g.hi();
                clipped.push_back(below || above);
                offset.push_back(below ? g.lo() : above ? g.hi() : std::nearbyint(u) - u);
            }
        }
        std::vector<bool> clipped{};
        std::vector<double> offset{}, of_zero_point{};
    };
    std::map<std::string, held> seen_{};
};

/// The student's divergence in running arithmetic with held roundings.
double smooth_divergence(cm::decoder<running> const& teacher, running const& teacher_logits,
                         cm::student_parameters<running> const& p, cm::quantization_settings const& settings,
                         held_rounding& round) {
    auto m = teacher;
    cm::fold_parameters(p.transforms, cm::eps_rule::exact, m);
    cm::visit_block_linears(m, [&](std::string const& name, cm::linear<running>& l) {
        l.weight = round(name, l.weight, elementwise_exp(p.grids.weights.at(name)), running(),
                         {settings.weights.num_bits, true});
    });
    std::size_t n_calls = 0;
    auto const tap = [&](cm::location where, std::size_t layer, running x) {
        if (!cm::is_quantized(settings, where)) return x;
        auto const& s = cm::settings_at(settings, where);
        auto const& a = p.grids.activations[layer * cm::n_locations + static_cast<std::size_t>(where)];
        return round("tap" + std::to_string(n_calls++), std::move(x), elementwise_exp(a.log_scale),
                     scaled(a.zero_point, cm::detail::code_range(s.num_bits)), {s.num_bits, s.symmetric});
    };
    running const z = cm::runner<running>(m).logits(small_tokens, tap);
    return mean_jensen_shannon(training(z), teacher_logits).value()(0, 0);
}

}  // namespace

TEST_CASE("student: every parameter's gradient is that of central differences with roundings held",
          "[optimize][recipes][gqa]") {
    auto const c = small_config();
    auto const teacher = small_decoder(c);
    running const of_teacher = cm::runner<running>(teacher).logits(small_tokens);
    auto const settings = small_settings();
    for (auto const& forms : all_forms()) {
        auto const p = small_student(teacher, moved_parameters(c, forms), settings);
        auto const start = values_of(p);
        std::vector<training> trained;
        for (auto const& x : start) trained.push_back(training::parameter(x));
        auto const student = with_values(p, trained);
        auto m = cm::converted<training>(teacher);
        cm::make_student(student, settings, cm::eps_rule::exact, m, [](std::size_t) { return true; });
        cm::grid_training_tap<training> tap(settings, student.grids);
        training const loss =
            mean_jensen_shannon(cm::runner<training>(m).logits(small_tokens, tap), of_teacher);
        backward(loss);

        held_rounding round;
        CHECK(smooth_divergence(teacher, of_teacher, p, settings, round) ==
              Approx(loss.value()(0, 0)).epsilon(1e-6));  // scales are rounded to float32 in one of the two
        CHECK(round.n_clipped() > 10);
        std::size_t k = 0;
        double const step = 1e-5;
        cm::visit_student(p, [&](cm::parameter_group, std::string const& name, running const& x) {
            double worst = 0, size = 0;
            for (std::size_t j = 0; j < x.size(); ++j) {
                auto const at = [&](double d) {
                    auto moved = start;
                    moved[k].data()[j] += d;
                    return smooth_divergence(teacher, of_teacher, with_values(p, moved), settings, round);
                };
                double const difference = (at(step) - at(-step)) / (2 * step);
                worst = std::max(worst, std::abs(trained[k].gradient().data()[j] - difference));
                size = std::max(size, std::abs(difference));
            }
            CAPTURE(name, size);
            CHECK(worst <= 1e-6 * size + 1e-10);  // 1e-10: an eps of the loss over the step
            ++k;
        });
    }
}

TEST_CASE("student: its values are those of the quantised decoder on the grids that its parameters stand for",
          "[recipes]") {
    auto const c = small_config();
    auto const teacher = small_decoder(c);
    for (char const* bits : {"4-4-4", "4-8-3", "16-4-16"}) {
        auto settings = small_settings(bits);
        for (auto const timing : {cm::grid_timing::static_grid, cm::grid_timing::dynamic_grid}) {
            settings.kv_cache.timing = timing;
            settings.activations.symmetric = timing == cm::grid_timing::dynamic_grid;
            auto const p = small_student(teacher, moved_parameters(c, all_forms()[0]), settings);
            auto student = teacher, merged = teacher;
            cm::make_student(p, settings, cm::eps_rule::exact, student, [](std::size_t) { return true; });
            cm::grid_training_tap<running> tap(settings, p.grids);
            cm::fold_parameters(p.transforms, cm::eps_rule::exact, merged);
            auto const q = cm::quantize_decoder_on(merged, cm::grids_of(p.grids, settings), settings);
            auto const quantizing = q.tap();
            CHECK(cm::runner<running>(student).logits(small_tokens, tap).values ==
                  cm::runner<running>(q.model).logits(small_tokens, quantizing).values);
        }
    }
}

TEST_CASE("parameters_of and grids_of: there and back is the same grid", "[recipes][quant]") {
    auto const teacher = small_decoder(small_config());
    auto settings = small_settings("4-8-4");
    auto const grids = cm::set_grids(teacher, random_windows(4), settings);
    auto const back = cm::grids_of(cm::parameters_of<running>(grids, settings), settings);
    CHECK(back.activations == grids.activations);
    CHECK(back.weights == grids.weights);
    settings.weights.symmetric = false;
    CHECK_THROWS_WITH(cm::parameters_of<running>(grids, settings),
                      "parameters_of: weights are asymmetric, expected symmetric ones to train");
}

TEST_CASE("split_calibration: the last windows are held out", "[recipes]") {
    auto const windows = random_windows(17);
    auto const split = cm::split_calibration(windows);
    CHECK(split.training.windows() == cm::token_sequences(windows.begin(), windows.begin() + 15));
    CHECK(split.held_out.windows() == cm::token_sequences(windows.begin() + 15, windows.end()));
    CHECK(cm::split_calibration(random_windows(2), 0.9).training.windows().size() == 1);
    CHECK(cm::split_calibration(random_windows(3), 0.0).held_out.windows().size() == 1);
    CHECK_THROWS_WITH(cm::split_calibration(random_windows(1)),
                      Catch::Contains("1 windows of calibration text, expected at least 2"));
    CHECK_THROWS_WITH(cm::split_calibration({{1, 2}, {1}}), Catch::Contains("a window of 1 tokens"));
}

namespace {

struct small_job {
    cm::decoder<float32> teacher;
    cm::student_parameters<float32> start;
    bool held_out_is_known = false;  ///< a random model has nothing to generalise
    cm::distillation_options options{.n_steps = 12, .batch = 3, .check_every = 4, .n_threads = 1};

    explicit small_job(cm::transform_forms const& forms = all_forms()[0]) {
        auto const c = small_config();
        auto const wide = small_decoder(c);
        teacher = cm::converted<float32>(wide);
        start = cm::mapped<float32>(small_student(wide, small_parameters(c, forms), small_settings()),
                                    [](running const& x) { return float32(x.values.cast<float>()); });
    }
    [[nodiscard]] std::unique_ptr<cm::distillation<float>> make() const {
        auto windows = random_windows(8);
        if (held_out_is_known) windows[6] = windows[0], windows[7] = windows[1];
        auto split = cm::split_calibration(windows, 0.25);
        return std::make_unique<cm::distillation<float>>(teacher, start, small_settings(), split.training,
                                                         split.held_out, options);
    }
};

/// Whose rates ruin everything at once.
small_job ruined_job() {
    small_job job;
    job.options.n_steps = 1000;
    job.options.check_every = 1;
    job.options.patience = 3;
    job.options.rate_factor = 300;
    return job;
}

bool same(cm::student_parameters<float32> const& a, cm::student_parameters<float32> const& b) {
    std::vector<float32> of_a, of_b;
    cm::visit_student(a, [&](auto, auto const&, float32 const& x) { of_a.push_back(x); });
    cm::visit_student(b, [&](auto, auto const&, float32 const& x) { of_b.push_back(x); });
    bool equal = of_a.size() == of_b.size();
    for (std::size_t k = 0; equal && k < of_a.size(); ++k) equal = of_a[k].values == of_b[k].values;
    return equal;
}

}  // namespace

TEST_CASE("distillation: held-out divergence falls, and the best parameters are kept",
          "[recipes][optimize]") {
    for (auto const& forms : all_forms()) {
        small_job job(forms);
        job.held_out_is_known = true;
        job.options.n_steps = 150;
        job.options.batch = 6;  // all of them
        job.options.check_every = 10;
        auto const d = job.make();
        double const before = d->check_held_out();
        std::size_t calls = 0;
        double least = before;
        d->run([&](cm::distillation_progress const& p) {
            ++calls;
            CHECK(p.step == calls);
            CHECK(p.n_steps == 150);
            CHECK(p.seconds_left >= 0);
            CHECK(p.loss > 0);
            least = std::min(least, p.held_out);
            CHECK(p.best == least);
        });
        CHECK(calls == 150);
        CHECK(d->best_divergence() == least);
        CHECK(least < 0.9 * before);
        // What was kept gives what was measured.
        job.start = d->best();
        CHECK(job.make()->check_held_out() == least);
        auto const& chosen = forms.chosen;
        auto const& norms = d->gradient_norms();
        CHECK((norms[0] > 0) == chosen.residual_stream);
        CHECK((norms[1] > 0) == chosen.query_key);
        CHECK((norms[2] > 0) == chosen.value_output);
        CHECK((norms[3] > 0) == chosen.up_down);
        CHECK(norms[4] > 0);
        CHECK(norms[5] > 0);
    }
}

TEST_CASE("distillation: grids train alone, every loss falls, dynamic grids too", "[recipes][optimize]") {
    small_job job{cm::transform_forms{}};
    for (auto const loss : {cm::distillation_loss::jensen_shannon, cm::distillation_loss::kullback_leibler,
                            cm::distillation_loss::top_kullback_leibler, cm::distillation_loss::next_token}) {
        job.options = {.n_steps = 30, .batch = 6, .loss = loss, .top_k = 3};
        auto const d = job.make();
        double const first = d->train_one_batch();
        double last = 0;
        while (d->step() < 30) last = d->train_one_batch();
        CHECK(last < first);
    }
}

TEST_CASE("distillation: same bytes again; on two threads the same to rounding", "[recipes][optimize]") {
    small_job job;
    auto const run = [&] {
        auto const d = job.make();
        d->run();
        return d->best();
    };
    auto const once = run();
    CHECK(same(once, run()));
    job.options.seed = 2;
    CHECK_FALSE(same(once, run()));
    job.options = {.n_steps = 1, .batch = 5, .n_threads = 1};
    auto const one = job.make();
    job.options.n_threads = 3;  // more than a batch's windows divide into
    auto const three = job.make(), again = job.make();
    CHECK(one->train_one_batch() == Approx(three->train_one_batch()).epsilon(1e-5));
    again->train_one_batch();
    for (std::size_t g = 0; g < cm::n_parameter_groups; ++g) {
        CHECK(one->gradient_norms()[g] == Approx(three->gradient_norms()[g]).epsilon(1e-3));
        CHECK(three->gradient_norms()[g] == again->gradient_norms()[g]);
    }
}

TEST_CASE("distillation: stops when asked to and when held-out text no longer improves", "[recipes]") {
    small_job job;
    auto const d = job.make();
    d->run({}, [&] { return d->step() == 5; });
    CHECK(d->step() == 5);
    auto const other_job = ruined_job();
    auto const ruined = other_job.make();
    ruined->run();
    CHECK(ruined->step() < 100);
    CHECK(ruined->step() == ruined->best_step() + 4);
}

TEST_CASE("distillation: T_v never passes the limit on its condition number", "[recipes][optimize]") {
    for (auto const form : {cm::value_form::dense, cm::value_form::svd, cm::value_form::low_rank}) {
        small_job job(cm::transform_forms{.chosen = {.value_output = true}, .values = form});
        job.options.max_condition = 1.05;
        job.options.rate_factor = 10;
        auto const d = job.make();
        for (int i = 0; i < 10; ++i) d->train_one_batch();
        d->check_held_out();
        for (auto const& layer : d->best().transforms.layers)
            for (auto const& v : layer.value_output)
                CHECK(cm::condition_number(v.value().forward) <= 1.05 + 1e-5);
    }
}

TEST_CASE("checkpoints: resumed training ends in the bytes of uninterrupted training", "[recipes][io]") {
    cm::testing::temporary_directory const folder;
    auto const path = folder.path() / "training.safetensors";
    small_job job;
    auto const whole = job.make();
    whole->run();
    auto const first = job.make();
    first->run({}, [&] { return first->step() == 7; });  // between two looks
    save_checkpoint(*first, path);
    save_checkpoint(*first, path);  // replaces
    auto const second = job.make();
    CHECK(resume_from_checkpoint(*second, path) == "");
    CHECK(second->step() == 7);
    CHECK(second->best_divergence() == first->best_divergence());
    CHECK(same(second->best(), first->best()));
    second->run();
    CHECK(second->step() == 12);
    CHECK(same(second->best(), whole->best()));
    CHECK(second->best_divergence() == whole->best_divergence());
    REQUIRE(whole->history().size() == 12);
    REQUIRE(second->history().size() == 12);
    for (std::size_t i = 0; i < 12; ++i) {
        CHECK(second->history()[i].loss == whole->history()[i].loss);
        CHECK(second->history()[i].held_out == whole->history()[i].held_out);
    }
    CHECK(whole->history()[11].held_out != whole->history()[0].held_out);

    std::string older = cm::testing::read_file(path);
    older.replace(older.find("distillation 3"), 14, "distillation 2");
    cm::testing::write_file(folder.path() / "older", older);
    auto const third = job.make();
    CHECK_THROWS_WITH(resume_from_checkpoint(*third, folder.path() / "older"),
                      Catch::Contains("is of the format \"distillation 2\", expected \"distillation 3\""));

    auto const unmeasured = job.make();
    unmeasured->train_one_batch();
    save_checkpoint(*unmeasured, path);
    resume_from_checkpoint(*third, path);
    REQUIRE(third->history().size() == 1);
    CHECK(third->history()[0].loss == unmeasured->history()[0].loss);
    CHECK(std::isnan(third->history()[0].held_out));

    // What the moments of the optimiser belong to must be the same.
    job.options.n_steps = 1;
    auto const refuses = [&](small_job const& other, char const* what) {
        CHECK_THROWS_WITH(resume_from_checkpoint(*other.make(), path),
                          Catch::Contains("is a checkpoint of") && Catch::Contains(what));
    };
    auto other = job;
    other.options.seed = 7;
    refuses(other, "seed 7");
    other = job;
    other.options.loss = cm::distillation_loss::kullback_leibler;
    refuses(other, "loss 1");
    other = job;
    other.options.eps = cm::eps_rule::plain;
    refuses(other, "S_n (plain)");
    other = job;
    other.teacher.layers[0].up_proj.weight(0, 0) += 1;
    refuses(other, ("model " + cm::fingerprint(other.teacher)).c_str());
    refuses(small_job{cm::transform_forms{}}, "no transforms");
    auto forms = all_forms()[0];
    forms.rotations = cm::orthogonal_form::qr;
    refuses(small_job{forms}, "T_r (qr)");
    forms = all_forms()[0];
    forms.values = cm::value_form::svd;
    refuses(small_job{forms}, "T_v (svd cayley)");
}

TEST_CASE("checkpoints: rotations must start where they started", "[recipes][io]") {
    cm::testing::temporary_directory const folder;
    auto const path = folder.path() / "training.safetensors";
    for (bool const of_values : {false, true}) {
        cm::transform_forms forms{.chosen = {.residual_stream = !of_values, .value_output = of_values},
                                  .values = cm::value_form::svd};
        small_job const job(forms);
        auto const d = job.make();
        d->train_one_batch();
        save_checkpoint(*d, path);
        resume_from_checkpoint(*job.make(), path);
        (of_values ? forms.value_output_start : forms.residual_stream_start) = cm::rotation_start::identity;
        CHECK_THROWS_WITH(resume_from_checkpoint(*small_job(forms).make(), path),
                          Catch::Contains(of_values ? "another layers.0.value_output.0.left.start"
                                                    : "another residual_stream.start"));
    }
}

TEST_CASE("checkpoints: training goes on for more steps, at the rates of the longer schedule",
          "[recipes][io]") {
    cm::testing::temporary_directory const folder;
    auto const path = folder.path() / "training.safetensors";
    small_job job;
    auto const shorter = job.make();
    shorter->run();
    save_checkpoint(*shorter, path);
    auto const loss_after = [&](std::size_t n_steps) {
        job.options.n_steps = n_steps;
        auto const d = job.make();
        auto const remark = resume_from_checkpoint(*d, path);
        CHECK(remark.empty() == (n_steps == 12));
        d->train_one_batch();
        return d->train_one_batch();  // after a step at the schedule's rate, which is 0 at the end
    };
    CHECK(loss_after(20) != loss_after(12));
    job.options.n_steps = 20;
    auto const longer = job.make();
    auto const tells = [](std::string const& remark) {
        CHECK_THAT(remark, Catch::Contains("trained by 12 steps of 3 windows") &&
                               Catch::Contains("up to step 12, then by 20 steps of 3 windows"));
    };
    tells(resume_from_checkpoint(*longer, path));
    longer->run({}, [&] { return longer->step() == 15; });
    REQUIRE(longer->history().size() == 15);
    CHECK(longer->history()[11].loss == shorter->history()[11].loss);
    save_checkpoint(*longer, path);
    tells(resume_from_checkpoint(*job.make(), path));  // still
    job.options.n_steps = 14;
    CHECK_THROWS_WITH(resume_from_checkpoint(*job.make(), path),
                      Catch::Contains("is at step 15, expected at most 14"));
}

TEST_CASE("checkpoints: another schedule is waited for anew", "[recipes][io]") {
    cm::testing::temporary_directory const folder;
    auto const path = folder.path() / "training.safetensors";
    auto job = ruined_job();
    auto const ruined = job.make();
    ruined->run();
    save_checkpoint(*ruined, path);
    auto const steps_more = [&] {
        auto const d = job.make();
        resume_from_checkpoint(*d, path);
        d->run();
        return d->step() - ruined->step();
    };
    CHECK(steps_more() == 0);
    job.options.n_steps = 1001;
    CHECK(steps_more() >= 4);
}

TEST_CASE("checkpoints: say whether S_n is at work", "[recipes][io]") {
    cm::testing::temporary_directory const folder;
    auto const path = folder.path() / "training.safetensors";
    for (bool const on : {false, true}) {
        save_checkpoint(*small_job(cm::transform_forms{.chosen = {.token_scale = on}}).make(), path);
        CHECK(cm::distillation_checkpoint<float>::has_token_scale(path) == on);
    }
}

TEST_CASE("distillation: shifted windows hold the text's tokens, cut elsewhere in every pass but the first",
          "[recipes][optimize]") {
    small_job job;
    job.options.n_steps = 6;  // three passes over six windows
    auto const losses = [&](cm::token_sequences const& windows, bool shifts) {
        job.options.shifts_windows = shifts;
        auto split = cm::split_calibration(windows, 0.25);
        cm::distillation<float> d(job.teacher, job.start, small_settings(), split.training, split.held_out,
                                  job.options);
        d.run();
        std::vector<double> of_steps;
        for (auto const& record : d.history()) of_steps.push_back(record.loss);
        return of_steps;
    };
    auto const windows = random_windows(8);
    auto const usual = losses(windows, false), shifted = losses(windows, true);
    CHECK(shifted == losses(windows, true));
    for (std::size_t i = 0; i < 6; ++i) CHECK((shifted[i] == usual[i]) == (i < 2));
    // Without learning a pass over the same windows has the same loss, in whatever order.
    job.options.rate_factor = 0;
    auto const of_passes = [](std::vector<double> const& x) {
        return std::vector<double>{x[0] + x[1], x[2] + x[3], x[4] + x[5]};
    };
    auto const same_cut = of_passes(losses(windows, false)), other_cut = of_passes(losses(windows, true));
    CHECK(same_cut[1] == Approx(same_cut[0]).epsilon(1e-6));
    CHECK(other_cut[1] != Approx(other_cut[0]).epsilon(1e-4));
    CHECK(other_cut[2] != Approx(other_cut[0]).epsilon(1e-4));
    CHECK(other_cut[2] != Approx(other_cut[1]).epsilon(1e-4));
    job.options.rate_factor = 1;
    // A text of one token cuts into the same windows anywhere, whatever their lengths; held-out text is not in it.
    cm::token_sequences even(8, std::vector<int>(6, 5));
    for (auto& window : even) window[0] = 1;
    even[1].resize(4);
    even[6][2] = even[7][4] = 3;
    CHECK(losses(even, true) == losses(even, false));
}
