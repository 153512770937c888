# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# What the project asks of its own code and never of a user's: warnings, warnings as errors, header verification.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
if(NOT DEFINED CMAKE_COMPILE_WARNING_AS_ERROR)
    set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
endif()
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()

find_program(COMMUTANT_CCACHE ccache)
mark_as_advanced(COMMUTANT_CCACHE)
if(COMMUTANT_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${COMMUTANT_CCACHE}")
endif()

add_library(commutant_warnings INTERFACE)
target_compile_options(commutant_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC bug 105651: std::string + "x" is told that its memcpy overlaps.
    # GCC bug 105593: so are GCC's own AVX-512 intrinsics that they read a variable before it is set.
    target_compile_options(commutant_warnings INTERFACE -Wno-restrict -Wno-maybe-uninitialized -Wno-uninitialized)
endif()

set(COMMUTANT_LARGE_FILE_OPTIONS "" CACHE STRING "Compiler options of what takes longest to compile: the program, and tests of training")
mark_as_advanced(COMMUTANT_LARGE_FILE_OPTIONS)
