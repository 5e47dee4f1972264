// Recurrent layers over whole sequences, forward and backward, on a CPU.
//
// torch runs a step of a layer as a dozen small operations, and a library's
// LSTM packs its weights for other shapes than ours.  Here a thread takes some
// lines of the batch through all steps: packed weights stay in its cache, the
// product of a step and what follows it are one loop, and no step waits for
// another thread.  Products take float or bfloat16; sums, cells and outputs
// are float.  Gates are in the order input, forget, cell, output.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <torch/library.h>

#include "common.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using at::BFloat16;
using at::Tensor;
using handtraj::kLogCap;
using handtraj::load;
using handtraj::pieces;
using handtraj::sigmoid;
using handtraj::tangent;
using handtraj::Vec;
using handtraj::window_forward;

// Rows of a product over all steps: what it reads and writes fits the cache.
constexpr int64_t kBlock = 64;

template <typename T>
constexpr bool kHalf = std::is_same_v<T, BFloat16>;

inline float total(const float* from, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += from[i];
  return sum;
}

inline void narrow(const float* from, float* to, int64_t count) {
  std::memcpy(to, from, count * sizeof(float));
}

// To the nearest, ties to even; state in float keeps whatever is not finite.
inline void narrow(const float* from, BFloat16* to, int64_t count) {
  const auto* bits = reinterpret_cast<const uint32_t*>(from);
  auto* out = reinterpret_cast<uint16_t*>(to);
  for (int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<uint16_t>((bits[i] + 0x7fff + ((bits[i] >> 16) & 1)) >> 16);
  }
}

inline int64_t even(int64_t k) { return (k + 1) / 2 * 2; }

// A matrix that many products share, laid out as the kernel reads it: (K, N),
// for bfloat16 in pairs of rows, K even.
template <typename T>
struct Packed {
  int64_t k, n;
  std::vector<T> values;

  Packed(int64_t rows, int64_t columns)
      : k(kHalf<T> ? even(rows) : rows), n(columns), values(k * n) {}

  T& at(int64_t row, int64_t column) {
    if constexpr (kHalf<T>) return values[(row / 2 * n + column) * 2 + row % 2];
    return values[row * n + column];
  }

  // c (m, n) [+]= a (m, k) @ this, rows of a `lda` apart.
  void multiply(int64_t m, const T* a, int64_t lda, float* c, bool add) const {
    at::native::cpublas::brgemm(m, n, k, lda, n, n, add, a, values.data(), c, kHalf<T>);
  }
};

// Rows of `weight` (rows, columns), from column `first`, `count` of them, turned.
template <typename T>
Packed<T> pack_turned(const Tensor& weight, int64_t first, int64_t count) {
  const int64_t rows = weight.size(0), stride = weight.size(1);
  Packed<T> out(count, rows);
  const float* from = weight.const_data_ptr<float>() + first;
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t n = 0; n < rows; ++n) out.at(k, n) = static_cast<T>(from[n * stride + k]);
  }
  return out;
}

template <typename T>
Packed<T> pack(const Tensor& weight) {
  const int64_t rows = weight.size(0), columns = weight.size(1);
  Packed<T> out(rows, columns);
  const float* from = weight.const_data_ptr<float>();
  for (int64_t k = 0; k < rows; ++k) {
    for (int64_t n = 0; n < columns; ++n) out.at(k, n) = static_cast<T>(from[k * columns + n]);
  }
  return out;
}

// How many threads share the lines of a batch.
int64_t parts_of(int64_t batch) { return std::min<int64_t>(batch, at::get_num_threads()); }

// Lines first to last of the batch, shared out to the threads.
template <typename Body>
void share(int64_t batch, const Body& body) {
  const int64_t parts = parts_of(batch);
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = batch * part / parts, last = batch * (part + 1) / parts;
      body(first, last - first, part);
    }
    at::native::cpublas::brgemm_release(true);
  });
}

// One row: gates before squashing become gates, cell and output.
inline void cell_forward(
    float* gates, const float* bias, const float* before, float* cell, float* out, int64_t n) {
  pieces(n, [&](int64_t j, int64_t count) {
    auto z = [&](int64_t gate) {
      return load(gates + gate * n + j, count) + load(bias + gate * n + j, count);
    };
    const Vec i = sigmoid(z(0)), f = sigmoid(z(1)), g = tangent(z(2)), o = sigmoid(z(3));
    const Vec c = f * load(before + j, count) + i * g;
    i.store(gates + j, count);
    f.store(gates + n + j, count);
    g.store(gates + 2 * n + j, count);
    o.store(gates + 3 * n + j, count);
    c.store(cell + j, count);
    (o * tangent(c)).store(out + j, count);
  });
}

// One row: gradients of the gates before squashing, from that of the output;
// `d_cell` goes from this step to the one before.
inline void cell_backward(
    const float* gates, const float* before, const float* cell, const float* d_out,
    float* d_cell, float* d_gates, int64_t n) {
  const Vec one(1.0f);
  pieces(n, [&](int64_t j, int64_t count) {
    const Vec i = load(gates + j, count), f = load(gates + n + j, count);
    const Vec g = load(gates + 2 * n + j, count), o = load(gates + 3 * n + j, count);
    const Vec squashed = tangent(load(cell + j, count)), d = load(d_out + j, count);
    const Vec dc = load(d_cell + j, count) + d * o * (one - squashed * squashed);
    (dc * g * i * (one - i)).store(d_gates + j, count);
    (dc * load(before + j, count) * f * (one - f)).store(d_gates + n + j, count);
    (dc * i * (one - g * g)).store(d_gates + 2 * n + j, count);
    (d * squashed * o * (one - o)).store(d_gates + 3 * n + j, count);
    (dc * f).store(d_cell + j, count);
  });
}

inline void add_to(float* sum, const float* more, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sum[i] += more[i];
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor> lstm_forward_as(
    const Tensor& x, const Tensor& w_in, const Tensor& w_rec, const Tensor& bias,
    const Tensor& h0, const Tensor& c0) {
  const int64_t steps = x.size(0), batch = x.size(1), n = w_rec.size(1), wide = 4 * n;
  const auto real = h0.options();
  Tensor gates = at::empty({steps, batch, wide}, real);
  Tensor hidden = at::empty({steps + 1, batch, n}, real);
  Tensor cells = at::empty({steps + 1, batch, n}, real);
  hidden[0].copy_(h0);
  cells[0].copy_(c0);
  const auto into = pack_turned<T>(w_in, 0, w_in.size(1));
  const auto back = pack_turned<T>(w_rec, 0, n);
  TORCH_CHECK(x.size(2) == into.k, "the input has ", x.size(2), " columns, not ", into.k);
  const T* input = x.const_data_ptr<T>();
  float* z = gates.mutable_data_ptr<float>();
  float* h = hidden.mutable_data_ptr<float>();
  float* c = cells.mutable_data_ptr<float>();
  const float* b = bias.const_data_ptr<float>();
  const int64_t rows = steps * batch, blocks = (rows + kBlock - 1) / kBlock;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block * kBlock, count = std::min(kBlock, rows - row);
      into.multiply(count, input + row * into.k, into.k, z + row * wide, false);
    }
    at::native::cpublas::brgemm_release(true);
  });
  share(batch, [&](int64_t first, int64_t lines, int64_t) {
    std::vector<T> seen(lines * back.k);
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t at = t * batch + first, next = at + batch;
      for (int64_t r = 0; r < lines; ++r) narrow(h + (at + r) * n, &seen[r * back.k], n);
      back.multiply(lines, seen.data(), back.k, z + at * wide, true);
      for (int64_t r = 0; r < lines; ++r) {
        cell_forward(
            z + (at + r) * wide, b, c + (at + r) * n, c + (next + r) * n, h + (next + r) * n, n);
      }
    }
  });
  return {hidden, gates, cells};
}

template <typename T>
std::tuple<Tensor, Tensor> lstm_backward_as(
    const Tensor& d_hidden, const Tensor& gates, const Tensor& cells, const Tensor& w_rec) {
  const int64_t steps = gates.size(0), batch = gates.size(1), wide = gates.size(2), n = wide / 4;
  const auto real = gates.options();
  Tensor d_gates = at::empty(gates.sizes(), real.dtype(c10::CppTypeToScalarType<T>::value));
  const auto weight = pack<T>(w_rec);
  Tensor d_bias = at::zeros({parts_of(batch), wide}, real);
  const float* z = gates.const_data_ptr<float>();
  const float* c = cells.const_data_ptr<float>();
  const float* above = d_hidden.const_data_ptr<float>();
  T* out = d_gates.mutable_data_ptr<T>();
  float* sums = d_bias.mutable_data_ptr<float>();
  share(batch, [&](int64_t first, int64_t lines, int64_t part) {
    std::vector<float> d_h(lines * n), d_cell(lines * n), d_z(wide);
    for (int64_t t = steps - 1; t >= 0; --t) {
      const int64_t at = t * batch + first, next = at + batch;
      if (t == steps - 1) {
        std::memcpy(d_h.data(), above + at * n, lines * n * sizeof(float));
      } else {
        weight.multiply(lines, out + next * wide, wide, d_h.data(), false);
        add_to(d_h.data(), above + at * n, lines * n);
      }
      for (int64_t r = 0; r < lines; ++r) {
        cell_backward(
            z + (at + r) * wide, c + (at + r) * n, c + (next + r) * n, &d_h[r * n],
            &d_cell[r * n], d_z.data(), n);
        narrow(d_z.data(), out + (at + r) * wide, wide);
        add_to(sums + part * wide, d_z.data(), wide);
      }
    }
  });
  return {d_gates, d_bias.sum(0)};
}

// Gradient of the window's head (eq. 56 to 60); `d_kappa` goes to the step before.
inline void window_backward(
    const float* head, const float* kappa, int64_t k, const int64_t* codes, int64_t length,
    const float* d_window, float* d_phi, float* d_kappa, float* d_head) {
  for (int64_t u = 0; u < length; ++u) d_phi[u] = codes[u] > 0 ? d_window[codes[u]] : 0.0f;
  for (int64_t m = 0; m < k; ++m) {
    const float alpha = std::exp(std::min(head[m], kLogCap));
    const float beta = std::exp(std::min(head[k + m], kLogCap));
    Vec by_alpha(0.0f), by_beta(0.0f), by_kappa(0.0f);
    pieces(length, [&](int64_t u, int64_t count) {
      const Vec away = Vec(kappa[m]) - Vec::arange(static_cast<float>(u), 1.0f);
      // Beyond the text `load` gives zeros.
      const Vec bell = (Vec(-beta) * away * away).exp() * load(d_phi + u, count);
      by_alpha = by_alpha + bell;
      by_kappa = by_kappa + bell * away;
      by_beta = by_beta + bell * away * away;
    });
    float sums[3][Vec::size()];
    by_alpha.store(sums[0]);
    by_beta.store(sums[1]);
    by_kappa.store(sums[2]);
    const int64_t width = Vec::size();
    d_head[m] = head[m] < kLogCap ? alpha * total(sums[0], width) : 0.0f;
    d_head[k + m] = head[k + m] < kLogCap ? -alpha * beta * total(sums[1], width) : 0.0f;
    d_kappa[m] += -2 * alpha * beta * total(sums[2], width);
    const float move = head[2 * k + m];
    d_head[2 * k + m] = move < kLogCap ? d_kappa[m] * std::exp(move) : 0.0f;
  }
}

inline float dot(const float* a, const float* b, int64_t n) {
  Vec sum(0.0f);
  pieces(n, [&](int64_t j, int64_t count) { sum = sum + load(a + j, count) * load(b + j, count); });
  float parts[Vec::size()];
  sum.store(parts);
  return total(parts, Vec::size());
}

// y += factor * x
inline void axpy(float factor, const float* x, float* y, int64_t n) {
  pieces(n, [&](int64_t j, int64_t count) {
    (load(y + j, count) + Vec(factor) * load(x + j, count)).store(y + j, count);
  });
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> windowed_forward_as(
    const Tensor& x, const Tensor& codes, const Tensor& w_x, const Tensor& weight,
    const Tensor& bias, const Tensor& w_head, const Tensor& b_head, const Tensor& h0,
    const Tensor& c0, const Tensor& window0, const Tensor& kappa0) {
  const int64_t steps = x.size(0), batch = x.size(1), n = h0.size(1), wide = 4 * n;
  const int64_t symbols = window0.size(1), k = kappa0.size(1), length = codes.size(1);
  const auto real = h0.options();
  Tensor gates = at::empty({steps, batch, wide}, real);
  Tensor hidden = at::empty({steps + 1, batch, n}, real);
  Tensor cells = at::empty({steps + 1, batch, n}, real);
  Tensor windows = at::empty({steps + 1, batch, symbols}, real);
  Tensor kappas = at::empty({steps + 1, batch, k}, real);
  Tensor heads = at::empty({steps, batch, 3 * k}, real);
  hidden[0].copy_(h0);
  cells[0].copy_(c0);
  windows[0].copy_(window0);
  kappas[0].copy_(kappa0);
  const auto packed = pack_turned<T>(weight, 0, weight.size(1));
  const Tensor from_pen = w_x.t().contiguous();
  const float* pen = from_pen.const_data_ptr<float>();
  const float* input = x.const_data_ptr<float>();
  const float* b = bias.const_data_ptr<float>();
  const float* hw = w_head.const_data_ptr<float>();
  const float* hb = b_head.const_data_ptr<float>();
  const int64_t* text = codes.const_data_ptr<int64_t>();
  float* z = gates.mutable_data_ptr<float>();
  float* h = hidden.mutable_data_ptr<float>();
  float* c = cells.mutable_data_ptr<float>();
  float* w = windows.mutable_data_ptr<float>();
  float* kappa = kappas.mutable_data_ptr<float>();
  float* head = heads.mutable_data_ptr<float>();
  share(batch, [&](int64_t first, int64_t lines, int64_t) {
    std::vector<T> seen(lines * packed.k);
    std::vector<float> phi(length + Vec::size());
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t at = t * batch + first, next = at + batch;
      for (int64_t r = 0; r < lines; ++r) {
        narrow(w + (at + r) * symbols, &seen[r * packed.k], symbols);
        narrow(h + (at + r) * n, &seen[r * packed.k + symbols], n);
      }
      packed.multiply(lines, seen.data(), packed.k, z + at * wide, false);
      for (int64_t r = 0; r < lines; ++r) {
        const int64_t row = at + r, after = next + r;
        for (int64_t j = 0; j < 3; ++j) {
          axpy(input[row * 3 + j], pen + j * wide, z + row * wide, wide);
        }
        cell_forward(z + row * wide, b, c + row * n, c + after * n, h + after * n, n);
        for (int64_t j = 0; j < 3 * k; ++j) {
          head[row * 3 * k + j] = hb[j] + dot(hw + j * n, h + after * n, n);
        }
        std::memcpy(kappa + after * k, kappa + row * k, k * sizeof(float));
        window_forward(
            head + row * 3 * k, kappa + after * k, k, text + (first + r) * length, length,
            symbols, phi.data(), w + after * symbols);
      }
    }
  });
  return {hidden, gates, cells, windows, kappas, heads};
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor> windowed_backward_as(
    const Tensor& d_hidden, const Tensor& d_windows, const Tensor& gates, const Tensor& cells,
    const Tensor& kappas, const Tensor& heads, const Tensor& codes, const Tensor& x,
    const Tensor& weight, const Tensor& w_head) {
  const int64_t steps = gates.size(0), batch = gates.size(1), wide = gates.size(2), n = wide / 4;
  const int64_t symbols = weight.size(1) - n, k = kappas.size(2), length = codes.size(1);
  const auto real = gates.options();
  Tensor d_gates = at::empty(gates.sizes(), real.dtype(c10::CppTypeToScalarType<T>::value));
  Tensor d_heads = at::empty(heads.sizes(), real);
  // By the three columns of the pen's weights, and by the bias.
  Tensor d_pen = at::zeros({parts_of(batch), 4, wide}, real);
  const auto packed = pack<T>(weight);
  const float* z = gates.const_data_ptr<float>();
  const float* c = cells.const_data_ptr<float>();
  const float* kappa = kappas.const_data_ptr<float>();
  const float* head = heads.const_data_ptr<float>();
  const float* above = d_hidden.const_data_ptr<float>();
  const float* above_window = d_windows.const_data_ptr<float>();
  const float* input = x.const_data_ptr<float>();
  const float* hw = w_head.const_data_ptr<float>();
  const int64_t* text = codes.const_data_ptr<int64_t>();
  T* out = d_gates.mutable_data_ptr<T>();
  float* d_head = d_heads.mutable_data_ptr<float>();
  float* sums = d_pen.mutable_data_ptr<float>();
  share(batch, [&](int64_t first, int64_t lines, int64_t part) {
    const int64_t joint = symbols + n;
    std::vector<float> now(lines * joint), d_cell(lines * n), d_kappa(lines * k), d_z(wide);
    std::vector<float> d_phi(length + Vec::size());
    for (int64_t t = steps - 1; t >= 0; --t) {
      const int64_t at = t * batch + first, next = at + batch;
      if (t < steps - 1) packed.multiply(lines, out + next * wide, wide, now.data(), false);
      for (int64_t r = 0; r < lines; ++r) {
        const int64_t row = at + r, after = next + r;
        float* d_window = &now[r * joint];
        float* d_h = d_window + symbols;
        add_to(d_window, above_window + row * symbols, symbols);
        add_to(d_h, above + row * n, n);
        float* mine = d_head + row * 3 * k;
        window_backward(
            head + row * 3 * k, kappa + after * k, k, text + (first + r) * length, length,
            d_window, d_phi.data(), &d_kappa[r * k], mine);
        for (int64_t j = 0; j < 3 * k; ++j) axpy(mine[j], hw + j * n, d_h, n);
        cell_backward(
            z + row * wide, c + row * n, c + after * n, d_h, &d_cell[r * n], d_z.data(), n);
        narrow(d_z.data(), out + row * wide, wide);
        float* sum = sums + part * 4 * wide;
        for (int64_t j = 0; j < 3; ++j) axpy(input[row * 3 + j], d_z.data(), sum + j * wide, wide);
        add_to(sum + 3 * wide, d_z.data(), wide);
      }
    }
  });
  return {d_gates, d_heads, d_pen.sum(0)};
}

// ---- by precision ------------------------------------------------------------

std::tuple<Tensor, Tensor, Tensor> lstm_forward(
    const Tensor& x, const Tensor& w_in, const Tensor& w_rec, const Tensor& bias,
    const Tensor& h0, const Tensor& c0) {
  return x.scalar_type() == at::kBFloat16
      ? lstm_forward_as<BFloat16>(x, w_in, w_rec, bias, h0, c0)
      : lstm_forward_as<float>(x, w_in, w_rec, bias, h0, c0);
}

std::tuple<Tensor, Tensor> lstm_backward(
    const Tensor& d_hidden, const Tensor& gates, const Tensor& cells, const Tensor& w_rec,
    bool half) {
  return half ? lstm_backward_as<BFloat16>(d_hidden, gates, cells, w_rec)
              : lstm_backward_as<float>(d_hidden, gates, cells, w_rec);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> windowed_forward(
    const Tensor& x, const Tensor& codes, const Tensor& w_x, const Tensor& weight,
    const Tensor& bias, const Tensor& w_head, const Tensor& b_head, const Tensor& h0,
    const Tensor& c0, const Tensor& window0, const Tensor& kappa0, bool half) {
  return half ? windowed_forward_as<BFloat16>(
                    x, codes, w_x, weight, bias, w_head, b_head, h0, c0, window0, kappa0)
              : windowed_forward_as<float>(
                    x, codes, w_x, weight, bias, w_head, b_head, h0, c0, window0, kappa0);
}

std::tuple<Tensor, Tensor, Tensor> windowed_backward(
    const Tensor& d_hidden, const Tensor& d_windows, const Tensor& gates, const Tensor& cells,
    const Tensor& kappas, const Tensor& heads, const Tensor& codes, const Tensor& x,
    const Tensor& weight, const Tensor& w_head, bool half) {
  return half ? windowed_backward_as<BFloat16>(
                    d_hidden, d_windows, gates, cells, kappas, heads, codes, x, weight, w_head)
              : windowed_backward_as<float>(
                    d_hidden, d_windows, gates, cells, kappas, heads, codes, x, weight, w_head);
}

}  // namespace

TORCH_LIBRARY(handtraj, library) {
  library.def(
      "lstm_forward(Tensor x, Tensor w_in, Tensor w_rec, Tensor bias, Tensor h, Tensor c)"
      " -> (Tensor, Tensor, Tensor)",
      &lstm_forward);
  library.def(
      "lstm_backward(Tensor d_hidden, Tensor gates, Tensor cells, Tensor w_rec, bool half)"
      " -> (Tensor, Tensor)",
      &lstm_backward);
  library.def(
      "windowed_forward(Tensor x, Tensor codes, Tensor w_x, Tensor weight, Tensor bias,"
      " Tensor w_head, Tensor b_head, Tensor h, Tensor c, Tensor window, Tensor kappa, bool half)"
      " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
      &windowed_forward);
  library.def(
      "windowed_backward(Tensor d_hidden, Tensor d_windows, Tensor gates, Tensor cells,"
      " Tensor kappas, Tensor heads, Tensor codes, Tensor x, Tensor weight, Tensor w_head,"
      " bool half) -> (Tensor, Tensor, Tensor)",
      &windowed_backward);
}
