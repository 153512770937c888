// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace commutant::testing {

/// Folder of checkpoints and texts made elsewhere; it need not exist.
///
/// The environment variable COMMUTANT_TEST_DATA goes before the folder that CMake was configured with.
inline std::filesystem::path test_data_dir() {
    if (char const* const from_environment = std::getenv("COMMUTANT_TEST_DATA");
        from_environment != nullptr) {
        return from_environment;
    }
#ifdef COMMUTANT_TEST_DATA_DIR
    return COMMUTANT_TEST_DATA_DIR;
#else
    return {};
#endif
}

/// Path of a file or folder of the test data, or an empty path when it is not there.
///
/// A test that gets an empty path says so with Catch's WARN and returns.
inline std::filesystem::path find_test_data(std::string const& relative) {
    std::filesystem::path const root = test_data_dir();
    if (root.empty() || !std::filesystem::exists(root / relative)) {
        return {};
    }
    return root / relative;
}

}  // namespace commutant::testing
