// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define COMMUTANT_VERSION_MAJOR 0
#define COMMUTANT_VERSION_MINOR 1
#define COMMUTANT_VERSION_PATCH 0
