// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// COMMUTANT_ADDRESS_SANITIZER is defined in a build with the address sanitiser, of GCC and of Clang.
#if defined(__SANITIZE_ADDRESS__)
#define COMMUTANT_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COMMUTANT_ADDRESS_SANITIZER
#endif
#endif
