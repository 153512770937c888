// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <commutant/core/random.hpp>

namespace bundled {

/// A noun with its plural.
struct noun {
    std::string_view one;
    std::string_view many;
};

inline constexpr std::array<std::string_view, 6> girls{"Anna", "Emma", "Lily", "Mia", "Rose", "Sara"};
inline constexpr std::array<std::string_view, 6> boys{"Ben", "Jack", "Leo", "Max", "Sam", "Tom"};
inline constexpr std::array<std::string_view, 5> traits{"kind", "brave", "quiet", "clever", "small"};
inline constexpr std::array<std::string_view, 11> numbers{"no",  "one",   "two",   "three", "four", "five",
                                                          "six", "seven", "eight", "nine",  "ten"};
inline constexpr std::array<noun, 8> things{{{"apple", "apples"},
                                             {"berry", "berries"},
                                             {"coin", "coins"},
                                             {"egg", "eggs"},
                                             {"leaf", "leaves"},
                                             {"nut", "nuts"},
                                             {"shell", "shells"},
                                             {"stone", "stones"}}};
inline constexpr std::array<noun, 6> animals{{{"cat", "cats"},
                                              {"dog", "dogs"},
                                              {"fox", "foxes"},
                                              {"goose", "geese"},
                                              {"mouse", "mice"},
                                              {"sheep", "sheep"}}};
inline constexpr std::array<std::string_view, 6> colours{"black", "blue", "green", "red", "white", "yellow"};
inline constexpr std::array<std::string_view, 7> objects{"ball", "book", "drum", "hat",
                                                         "key",  "lamp", "ring"};
inline constexpr std::array<std::string_view, 8> places{"in the box",     "in the house",   "under the tree",
                                                        "by the pond",    "on the hill",    "in the garden",
                                                        "near the river", "behind the door"};
inline constexpr std::array<std::string_view, 6> foods{"bread", "cake", "cheese", "honey", "rice", "soup"};
inline constexpr std::array<std::string_view, 4> moods{"hungry", "tired", "happy", "cold"};

/// Writes stories of a little language, and knows exactly how likely each one is.
///
/// A story introduces two friends, tells three to eight events, and ends in the evening. Names come back over the whole
/// story; pronouns, nouns and verbs agree; apples are counted; what was put somewhere is found there; what somebody
/// liked, that somebody eats. Every choice shows in the words, so a text has one derivation, and minus the sum of the
/// logarithms of the choices' probabilities is its exact information: no model of the text can do better on average.
class story_writer {
public:
    explicit story_writer(std::uint64_t seed) : random_(seed) {}

    struct story {
        std::string text;
        double information = 0;  ///< -log p(text), natural logarithm
    };

    [[nodiscard]] story next() {
        text_.clear();
        information_ = 0;
        owned_.clear();
        hidden_.clear();
        was_hidden_ = {};
        was_owned_ = {};
        likes_ = {no_food, no_food};
        introduce();
        std::size_t n_events = 0;
        while (n_events < 3 || (n_events < 8 && pick_weighted(std::array{2.0, 1.0}) == 0)) {
            tell_event();
            ++n_events;
        }
        finish();
        return {text_, information_};
    }

private:
    static constexpr std::size_t no_food = foods.size();

    struct possession {
        std::size_t thing;
        std::size_t count;
    };
    struct hiding {
        std::size_t object;
        std::size_t colour;
        std::size_t place;
        std::size_t who;  ///< 0: the hero, 1: the friend
    };
    enum class event { find, give, get, put, look, meet, like, eat };

    // ---- choices ----

    std::size_t pick(std::size_t n) {
        information_ += std::log(static_cast<double>(n));
        return random_.next_below(n);
    }
    std::size_t pick_weighted(std::span<double const> weights) {
        double total = 0;
        for (double const w : weights) total += w;
        double left = random_.next_unit() * total;
        std::size_t chosen = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            if (weights[i] <= 0) continue;
            chosen = i;
            left -= weights[i];
            if (left < 0) break;
        }
        information_ -= std::log(weights[chosen] / total);
        return chosen;
    }
    /// One of the indices below n that are still free.
    template <class Taken> std::size_t pick_free(std::size_t n, Taken taken) {
        std::vector<std::size_t> free;
        for (std::size_t i = 0; i < n; ++i)
            if (!taken(i)) free.push_back(i);
        return free[pick(free.size())];
    }

    // ---- words ----

    void say(std::string_view sentence) {
        if (!text_.empty()) text_ += ' ';
        text_ += sentence;
    }
    [[nodiscard]] std::string_view name(std::size_t who) const { return name_[who]; }
    [[nodiscard]] std::string_view She(std::size_t who) const { return is_girl_[who] ? "She" : "He"; }
    [[nodiscard]] std::string_view her(std::size_t who) const { return is_girl_[who] ? "her" : "him"; }
    [[nodiscard]] static std::string counted(std::size_t n, noun const& x) {
        return joined({numbers[n], n == 1 ? x.one : x.many});
    }
    [[nodiscard]] static std::string joined(std::initializer_list<std::string_view> words) {
        std::string s;
        for (auto const word : words) {
            if (!s.empty()) s += ' ';
            s += word;
        }
        return s;
    }
    void say_words(std::initializer_list<std::string_view> words) { say(joined(words) + "."); }

    // ---- the story ----

    void introduce() {
        std::size_t const hero = pick(girls.size() + boys.size());
        std::size_t const trait = pick(traits.size());
        std::size_t const friend_ =
            pick_free(girls.size() + boys.size(), [&](std::size_t i) { return i == hero; });
        for (std::size_t who : {0u, 1u}) {
            std::size_t const i = who == 0 ? hero : friend_;
            is_girl_[who] = i < girls.size();
            name_[who] = is_girl_[who] ? girls[i] : boys[i - girls.size()];
        }
        say_words({name(0), "was a", traits[trait], is_girl_[0] ? "girl" : "boy"});
        say_words({She(0), "had a friend named", name(1)});
    }

    void tell_event() {
        std::size_t n_givable = 0, n_growable = 0;
        for (auto const& p : owned_) n_givable += p.count >= 2, n_growable += p.count <= 7;
        bool const can_eat = likes_[0] != no_food || likes_[1] != no_food;
        bool const can_like = likes_[0] == no_food || likes_[1] == no_food;
        std::array<double, 8> const weights{owned_.size() < 2 ? 3.0 : 0.0, n_givable > 0 ? 3.0 : 0.0,
                                            n_growable > 0 ? 3.0 : 0.0,    hidden_.size() < 2 ? 3.0 : 0.0,
                                            hidden_.empty() ? 0.0 : 4.0,   1.5,
                                            can_like ? 1.5 : 0.0,          can_eat ? 2.0 : 0.0};
        switch (static_cast<event>(pick_weighted(weights))) {
            case event::find:
                return find();
            case event::give:
                return give(n_givable);
            case event::get:
                return get(n_growable);
            case event::put:
                return put();
            case event::look:
                return look();
            case event::meet:
                return meet_animals();
            case event::like:
                return like();
            case event::eat:
                return eat();
        }
    }

    void find() {
        std::size_t const thing = pick_free(things.size(), [&](std::size_t i) { return was_owned_[i]; });
        std::size_t const n = 1 + pick(5), colour = pick(colours.size()), place = pick(places.size());
        was_owned_[thing] = true;
        owned_.push_back({thing, n});
        say_words({name(0), "found", numbers[n], colours[colour],
                   n == 1 ? things[thing].one : things[thing].many, places[place]});
    }

    /// The k-th possession that fits.
    template <class Fits> possession& nth(std::size_t k, Fits fits) {
        std::size_t i = 0;
        while (!fits(owned_[i]) || k-- > 0) ++i;
        return owned_[i];
    }
    void say_now(possession const& p) {
        say_words({"Now", name(0), "had", counted(p.count, things[p.thing])});
    }

    void give(std::size_t n_givable) {
        possession& p = nth(pick(n_givable), [](possession const& q) { return q.count >= 2; });
        std::size_t const n = 1 + pick(p.count < 4 ? p.count : 4);
        say_words({She(0), "gave", counted(n, things[p.thing]), "to", name(1)});
        p.count -= n;
        say_now(p);
    }

    void get(std::size_t n_growable) {
        possession& p = nth(pick(n_growable), [](possession const& q) { return q.count <= 7; });
        std::size_t const n = 1 + pick(3);
        say_words({name(1), "gave", her(0), numbers[n], "more",
                   n == 1 ? things[p.thing].one : things[p.thing].many});
        p.count += n;
        say_now(p);
    }

    void put() {
        std::size_t const who = pick(2);
        std::size_t const object = pick_free(objects.size(), [&](std::size_t i) { return was_hidden_[i]; });
        std::size_t const colour = pick(colours.size()), place = pick(places.size());
        was_hidden_[object] = true;
        hidden_.push_back({object, colour, place, who});
        say_words({name(who), "put the", colours[colour], objects[object], places[place]});
    }

    void look() {
        std::size_t const i = pick(hidden_.size());
        hiding const h = hidden_[i];
        hidden_.erase(hidden_.begin() + static_cast<std::ptrdiff_t>(i));
        say_words({name(1 - h.who), "looked for the", objects[h.object]});
        say_words({"It was", places[h.place], "and it was", colours[h.colour]});
    }

    void meet_animals() {
        std::size_t const n = 1 + pick(4), colour = pick(colours.size()), kind = pick(animals.size());
        std::size_t const place = pick(places.size()), mood = pick(moods.size());
        std::string number(numbers[n]);
        number[0] = static_cast<char>(number[0] - 'a' + 'A');
        say_words({number, colours[colour], n == 1 ? animals[kind].one : animals[kind].many,
                   n == 1 ? "was" : "were", places[place]});
        say_words({n == 1 ? "It" : "They", n == 1 ? "was" : "were", moods[mood]});
    }

    void like() {
        std::size_t const who = pick_free(2, [&](std::size_t i) { return likes_[i] != no_food; });
        likes_[who] = pick(foods.size());
        say_words({name(who), "liked", foods[likes_[who]]});
    }

    void eat() {
        std::size_t const who = pick_free(2, [&](std::size_t i) { return likes_[i] == no_food; });
        say_words({name(who), "ate some", foods[likes_[who]]});
        likes_[who] = no_food;
    }

    void finish() {
        say_words({"In the evening", name(0), "and", name(1), "went home"});
        for (auto const& p : owned_) say_words({name(0), "still had", counted(p.count, things[p.thing])});
        for (auto const& h : hidden_) say_words({"The", objects[h.object], "was still", places[h.place]});
        say_words({"They were", moods[pick(moods.size())]});
    }

    commutant::random_source random_;
    std::string text_{};
    double information_ = 0;
    std::array<std::string_view, 2> name_{};
    std::array<bool, 2> is_girl_{};
    std::vector<possession> owned_{};
    std::array<bool, things.size()> was_owned_{};
    std::vector<hiding> hidden_{};
    std::array<bool, objects.size()> was_hidden_{};
    std::array<std::size_t, 2> likes_{};
};

}  // namespace bundled
