# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Compiles every public header alone, its syntax only, in a build folder of its own.
execute_process(
    COMMAND
        "${CMAKE_COMMAND}" -S "${SOURCE_DIR}" -B "${BINARY_DIR}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-fsyntax-only -DCMAKE_CXX_COMPILER_LAUNCHER= -DCOMMUTANT_DEVELOPER_MODE=ON
        -DCOMMUTANT_TESTS=OFF -DCOMMUTANT_EXAMPLES=OFF -DCOMMUTANT_BENCHMARKS=OFF
    COMMAND_ERROR_IS_FATAL ANY
)
execute_process(
    COMMAND "${CMAKE_COMMAND}" --build "${BINARY_DIR}" --target all_verify_interface_header_sets
    COMMAND_ERROR_IS_FATAL ANY
)
