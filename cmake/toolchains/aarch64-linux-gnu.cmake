# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# 64-bit ARM from another processor: Debian's cross compiler, and qemu for what it builds.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;/usr/aarch64-linux-gnu")

# Packages that are headers alone serve every processor. Their folders are linked into one that holds nothing of this
# machine's C library.
set(commutant_header_links "${CMAKE_BINARY_DIR}/header-links")
file(MAKE_DIRECTORY "${commutant_header_links}")
foreach(package IN ITEMS catch2 nlohmann xsimd)
    if(EXISTS "/usr/include/${package}" AND NOT EXISTS "${commutant_header_links}/${package}")
        file(CREATE_LINK "/usr/include/${package}" "${commutant_header_links}/${package}" SYMBOLIC)
    endif()
endforeach()
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES "${commutant_header_links}")
# Its CMake files stand among those of this machine's processor.
file(GLOB commutant_xsimd_folders "/usr/lib/*/cmake/xsimd")
foreach(folder IN LISTS commutant_xsimd_folders)
    set(xsimd_DIR "${folder}" CACHE PATH "Where xsimdConfig.cmake is")
endforeach()
