// One point of writing: the whole network, one step, on a CPU.
//
// With one line there is one product of a matrix with a vector a layer, and the
// time goes into reading the weights: they stay in half precision where that
// holds them exactly, and are widened on the way.  A panel holds the gates of
// as many units as a vector has numbers, so a thread that has multiplied a panel
// goes on to the cells of its units at once.  Every sum is taken in the same
// order whatever the number of lines: a line does not depend on its neighbours.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "common.h"

#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

namespace {

using at::Half;
using at::Tensor;
using handtraj::Vec;

// Vectors side by side in a panel: the four gates of some units.
constexpr int64_t kGates = 4;
constexpr int64_t kPanel = kGates * Vec::size();
// Rows multiplied at once: their sums fit the registers.
constexpr int64_t kMany = Vec::size() >= 16 ? 6 : 3;
constexpr int64_t kSome = Vec::size() >= 16 ? 4 : 2;
constexpr int64_t kFew = 2;

inline Vec widen(const float* from) { return Vec::loadu(from); }

inline Vec widen(const Half* from) {
#if defined(CPU_CAPABILITY_AVX512)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(CPU_CAPABILITY_AVX2)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
  float wide[Vec::size()];
  for (int64_t i = 0; i < Vec::size(); ++i) wide[i] = static_cast<float>(from[i]);
  return Vec::loadu(wide);
#endif
}

inline Vec sigmoid(Vec z) { return Vec(1.0f) / (Vec(1.0f) + z.neg().exp()); }

// Some rows of x times some panels of `width` rows each: out (rows, panels, kPanel).
template <int64_t Rows, int64_t Panels, typename T>
inline void multiply_some(
    const T* weight, int64_t width, const float* x, int64_t stride, float* out,
    int64_t out_stride) {
  Vec sums[Rows][Panels][kGates];
  for (auto& row : sums) {
    for (auto& panel : row) {
      for (auto& sum : panel) sum = Vec(0.0f);
    }
  }
  for (int64_t k = 0; k < width; ++k) {
    Vec seen[Rows];
    for (int64_t r = 0; r < Rows; ++r) seen[r] = Vec(x[r * stride + k]);
    for (int64_t p = 0; p < Panels; ++p) {
      for (int64_t g = 0; g < kGates; ++g) {
        const Vec w = widen(weight + (p * width + k) * kPanel + g * Vec::size());
        for (int64_t r = 0; r < Rows; ++r) sums[r][p][g] = at::vec::fmadd(seen[r], w, sums[r][p][g]);
      }
    }
  }
  for (int64_t r = 0; r < Rows; ++r) {
    for (int64_t p = 0; p < Panels; ++p) {
      for (int64_t g = 0; g < kGates; ++g) {
        sums[r][p][g].store(out + r * out_stride + p * kPanel + g * Vec::size());
      }
    }
  }
}

// All rows of x times `panels` panels.  A single row takes two panels at once:
// one has too few sums to keep the processor busy.
template <typename T>
void multiply_panels(
    const T* weight, int64_t panels, int64_t width, const float* x, int64_t stride, int64_t rows,
    float* out, int64_t out_stride) {
  for (int64_t p = 0; p < panels;) {
    const T* mine = weight + p * width * kPanel;
    const int64_t pair = rows == 1 && p + 2 <= panels ? 2 : 1;
    for (int64_t r = 0; r < rows;) {
      const float* from = x + r * stride;
      float* to = out + r * out_stride + p * kPanel;
      const int64_t left = rows - r;
      if (pair == 2) {
        multiply_some<1, 2>(mine, width, from, stride, to, out_stride);
        r += 1;
      } else if (left >= kMany) {
        multiply_some<kMany, 1>(mine, width, from, stride, to, out_stride);
        r += kMany;
      } else if (left >= kSome) {
        multiply_some<kSome, 1>(mine, width, from, stride, to, out_stride);
        r += kSome;
      } else if (left >= kFew) {
        multiply_some<kFew, 1>(mine, width, from, stride, to, out_stride);
        r += kFew;
      } else {
        multiply_some<1, 1>(mine, width, from, stride, to, out_stride);
        r += 1;
      }
    }
    p += pair;
  }
}

// A matrix in panels (panels, width, kPanel), float or half.
void multiply_by(
    const Tensor& weight, int64_t first, int64_t panels, const float* x, int64_t stride,
    int64_t rows, float* out, int64_t out_stride) {
  const int64_t width = weight.size(1), from = first * width * kPanel;
  if (weight.scalar_type() == at::kHalf) {
    multiply_panels(
        weight.const_data_ptr<Half>() + from, panels, width, x, stride, rows, out, out_stride);
  } else {
    multiply_panels(
        weight.const_data_ptr<float>() + from, panels, width, x, stride, rows, out, out_stride);
  }
}

// Below so many multiplications a second thread costs more than it brings.
constexpr int64_t kWorth = 100000;

// Calls body(first, count) for panels shared out to the threads.
template <typename Body>
void share_panels(int64_t panels, int64_t work, const Body& body) {
  const int64_t threads = work < kWorth ? 1 : std::min<int64_t>(at::get_num_threads(), panels);
  if (threads == 1) return body(int64_t{0}, panels);
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = panels * part / threads, last = panels * (part + 1) / threads;
      body(first, last - first);
    }
  });
}

// Rows (B, width) of `row` from column `at` on times a matrix in panels.
Tensor multiply(const Tensor& row, int64_t at, const Tensor& weight, int64_t columns) {
  const int64_t rows = row.size(0), panels = weight.size(0);
  TORCH_CHECK(at + weight.size(1) <= row.size(1), "the matrix reads beyond the row");
  Tensor out = at::empty({rows, panels * kPanel}, row.options());
  const float* x = row.const_data_ptr<float>() + at;
  float* to = out.mutable_data_ptr<float>();
  share_panels(panels, rows * panels * weight.size(1) * kPanel, [&](int64_t first, int64_t count) {
    multiply_by(
        weight, first, count, x, row.size(1), rows, to + first * kPanel, panels * kPanel);
  });
  return out.narrow(1, 0, columns);
}

// Gates (input, forget, output, cell / 2) of a panel's units, before squashing,
// to their cells and outputs.
inline void cells_of(const float* z, float* cell, float* out, int64_t count) {
  const Vec one(1.0f), two(2.0f);
  auto gate = [&](int64_t g) { return sigmoid(Vec::loadu(z + g * Vec::size())); };
  const Vec c = gate(1) * handtraj::load(cell, count) + gate(0) * (two * gate(3) - one);
  c.store(cell, static_cast<int>(count));
  (gate(2) * c.tanh()).store(out, static_cast<int>(count));
}

// One layer: `cell` and `out` (B, units) are written.
void advance_layer(
    const Tensor& weight, const float* x, int64_t stride, int64_t rows, int64_t units, float* cell,
    float* out) {
  const int64_t panels = weight.size(0), work = rows * panels * weight.size(1) * kPanel;
  share_panels(panels, work, [&](int64_t first, int64_t count) {
    std::vector<float> z(rows * count * kPanel);
    multiply_by(weight, first, count, x, stride, rows, z.data(), count * kPanel);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t p = 0; p < count; ++p) {
        const int64_t unit = (first + p) * Vec::size(), at = r * units + unit;
        cells_of(
            &z[(r * count + p) * kPanel], cell + at, out + at,
            std::min<int64_t>(Vec::size(), units - unit));
      }
    }
  });
}

// One point of B lines.  `row` (B, width) holds what products read: (1, x,
// window) at `blocks`, layers' outputs at `outputs`; layer l reads from `reads`
// on.  `row`, `cells` (layers, B, units) and `kappa` (B, K) are moved on.  Gives
// the mixture's parameters and the window's weights (B, C), C the codes' length.
std::tuple<Tensor, Tensor> advance(
    const Tensor& row, const Tensor& cells, const Tensor& kappa, const Tensor& x,
    const Tensor& codes, at::TensorList layers, const Tensor& window_head, const Tensor& head,
    at::IntArrayRef blocks, at::IntArrayRef outputs, at::IntArrayRef reads, int64_t symbols,
    int64_t columns) {
  const int64_t rows = row.size(0), width = row.size(1), units = cells.size(2);
  const int64_t k = kappa.size(1), length = codes.size(1);
  for (const Tensor& one : {row, cells, kappa, x, codes}) {
    TORCH_CHECK(one.is_contiguous(), "what a step reads and writes must be contiguous");
  }
  float* all = row.mutable_data_ptr<float>();
  const float* points = x.const_data_ptr<float>();
  const int64_t* text = codes.const_data_ptr<int64_t>();
  for (int64_t r = 0; r < rows; ++r) {
    for (const int64_t block : blocks) {
      std::memcpy(all + r * width + block + 1, points + r * 3, 3 * sizeof(float));
    }
  }
  // A layer's outputs stay as they are until its last panel has read them.
  std::vector<float> fresh(rows * units), seen(symbols);
  Tensor phi = at::empty({rows, length + Vec::size()}, row.options());
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    float* cell = cells.mutable_data_ptr<float>() + layer * rows * units;
    advance_layer(layers[layer], all + reads[layer], width, rows, units, cell, fresh.data());
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(all + r * width + outputs[layer], &fresh[r * units], units * sizeof(float));
    }
    if (layer) continue;
    const Tensor moves = multiply(row, blocks[0], window_head, 3 * k);
    for (int64_t r = 0; r < rows; ++r) {
      handtraj::window_forward(
          moves.const_data_ptr<float>() + r * moves.stride(0),
          kappa.mutable_data_ptr<float>() + r * k, k, text + r * length, length, symbols,
          phi.mutable_data_ptr<float>() + r * phi.size(1), seen.data());
      for (const int64_t block : blocks) {
        std::memcpy(all + r * width + block + 4, seen.data(), symbols * sizeof(float));
      }
    }
  }
  return {multiply(row, 0, head, columns), phi.narrow(1, 0, length)};
}

// The window's weights (B, C) where it stands, without moving it.
Tensor look(
    const Tensor& row, const Tensor& kappa, const Tensor& codes, const Tensor& window_head,
    int64_t block, int64_t symbols) {
  const int64_t rows = row.size(0), k = kappa.size(1), length = codes.size(1);
  Tensor moves = multiply(row, block, window_head, 3 * k).contiguous(), stays = kappa.clone();
  // exp(-inf) = 0: no step.
  moves.narrow(1, 2 * k, k).fill_(-std::numeric_limits<float>::infinity());
  std::vector<float> seen(symbols);
  Tensor phi = at::empty({rows, length + Vec::size()}, row.options());
  for (int64_t r = 0; r < rows; ++r) {
    handtraj::window_forward(
        moves.const_data_ptr<float>() + r * 3 * k, stays.mutable_data_ptr<float>() + r * k, k,
        codes.const_data_ptr<int64_t>() + r * length, length, symbols,
        phi.mutable_data_ptr<float>() + r * phi.size(1), seen.data());
  }
  return phi.narrow(1, 0, length);
}

int64_t panel() { return kPanel; }

}  // namespace

TORCH_LIBRARY_FRAGMENT(handtraj, library) {
  library.def("panel() -> int", &panel);
  library.def("multiply(Tensor row, int at, Tensor weight, int columns) -> Tensor", &multiply);
  library.def(
      "look(Tensor row, Tensor kappa, Tensor codes, Tensor window_head, int block, int symbols)"
      " -> Tensor",
      &look);
  library.def(
      "advance(Tensor(a!) row, Tensor(b!) cells, Tensor(c!) kappa, Tensor x, Tensor codes,"
      " Tensor[] layers, Tensor window_head, Tensor head, int[] blocks, int[] outputs,"
      " int[] reads, int symbols, int columns) -> (Tensor, Tensor)",
      &advance);
}
