"""The output density against torch.distributions, a grid, and autograd."""

import math

import pytest
import torch
from torch import distributions as td

from handtraj.mixture import RHO_MAX, Mixture, raw_size


def reference(mixture: Mixture) -> td.MixtureSameFamily:
    """The same Gaussians built by torch.distributions from covariance matrices."""
    sigma = mixture.log_sigma.exp()
    sx, sy = sigma.unbind(-1)
    cross = mixture.rho * sx * sy
    covariance = torch.stack([torch.stack([sx**2, cross], -1), torch.stack([cross, sy**2], -1)], -2)
    return td.MixtureSameFamily(
        td.Categorical(logits=mixture.log_weight),
        td.MultivariateNormal(mixture.mean, covariance_matrix=covariance),
    )


def test_log_prob_equals_torch_distributions(generator):
    """Offsets and pen against MixtureSameFamily and Bernoulli, to 1e-5."""
    raw = torch.randn(50, raw_size(20), generator=generator, dtype=torch.float64)
    mixture = Mixture.from_raw(raw)
    target = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    target[:, 2] = (target[:, 2] > 0).double()
    expected = reference(mixture).log_prob(target[:, :2])
    expected = expected + td.Bernoulli(logits=raw[:, 0]).log_prob(target[:, 2])
    torch.testing.assert_close(mixture.log_prob(target), expected, atol=1e-5, rtol=0)


def test_float32_log_prob_stays_within_1e_5_of_float64(generator):
    """Single precision loses no more than 1e-5 relative on ordinary inputs."""
    raw = torch.randn(200, raw_size(20), generator=generator)
    target = torch.randn(200, 2, generator=generator)
    single = Mixture.from_raw(raw).log_prob_offset(target)
    double = Mixture.from_raw(raw.double()).log_prob_offset(target.double())
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-5)


def test_density_integrates_to_one(generator):
    """A Riemann sum over a fine grid that holds all of the mass."""
    raw = 0.5 * torch.randn(raw_size(5), generator=generator, dtype=torch.float64)
    mixture = Mixture.from_raw(raw)
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    density = Mixture.from_raw(raw.expand(len(grid), -1)).log_prob_offset(grid).exp()
    assert float(density.sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=1e-6)
    assert mixture.log_weight.exp().sum() == pytest.approx(1)


def test_gradients_pass_gradcheck(generator):
    """Analytic gradients of the loss against finite differences in float64."""
    raw = torch.randn(4, raw_size(3), generator=generator, dtype=torch.float64)
    target = torch.tensor([[0.1, -0.4, 1], [1, 1, 0], [-2, 0, 0], [0, 3, 1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda r: Mixture.from_raw(r).log_prob(target), raw.requires_grad_()
    )


@pytest.mark.parametrize("size", [1e1, 1e2, 1e3, 1e4])
def test_extreme_inputs_stay_finite(size, generator):
    """|raw| up to 1e4 gives finite values and gradients in float32."""
    raw = size * torch.sign(torch.randn(300, raw_size(20), generator=generator))
    raw.requires_grad_()
    target = torch.zeros(300, 3)
    target[::2] = torch.tensor([30.0, -30.0, 1.0])
    value = Mixture.from_raw(raw).log_prob(target)
    value.sum().backward()
    assert value.isfinite().all()
    assert raw.grad.isfinite().all()


def test_bounds_hold():
    """Standard deviations and correlations never leave their range."""
    mixture = Mixture.from_raw(torch.full((raw_size(4),), -1e4), min_sigma=0.02)
    assert float(mixture.log_sigma.exp().min()) == pytest.approx(0.02)
    assert float(mixture.rho.abs().max()) == pytest.approx(RHO_MAX)


def test_samples_have_the_mixture_moments():
    """Mean, covariance and lift rate of 200,000 samples against the formulas."""
    generator = torch.Generator().manual_seed(5)
    raw = torch.randn(raw_size(4), generator=generator, dtype=torch.float64)
    mixture = Mixture.from_raw(raw)
    many = Mixture.from_raw(raw.expand(200_000, -1))
    sample = many.sample(generator=generator)
    expected = reference(mixture)
    weight = mixture.log_weight.exp()[:, None]
    mean = (weight * mixture.mean).sum(0)
    torch.testing.assert_close(sample[:, :2].mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(sample[:, :2].var(0), expected.variance, rtol=0.03, atol=0)
    assert float(sample[:, 2].mean()) == pytest.approx(float(raw[0].sigmoid()), abs=0.005)


def test_sample_covariance_of_one_component_is_rho():
    """One component: the sample correlation is the component's."""
    raw = torch.zeros(raw_size(1), dtype=torch.float64)
    raw[-1] = math.atanh(0.7 / RHO_MAX)
    sample = Mixture.from_raw(raw.expand(100_000, -1)).sample(
        generator=torch.Generator().manual_seed(0)
    )
    assert float(torch.corrcoef(sample[:, :2].T)[0, 1]) == pytest.approx(0.7, abs=0.01)


def test_bias_forms_do_what_their_formulas_say(generator):
    """sigma x e^-b; weights^(1+b), renormalised; pen odds^(1+b)."""
    mixture = Mixture.from_raw(torch.randn(7, raw_size(5), generator=generator))
    b = 0.8
    sigma, graves, pen = (mixture.biased(b, form) for form in ("sigma", "graves", "pen"))
    for form in (sigma, graves, pen):
        torch.testing.assert_close(form.log_sigma.exp(), mixture.log_sigma.exp() * math.exp(-b))
    torch.testing.assert_close(sigma.log_weight, mixture.log_weight)
    powered = mixture.log_weight.exp() ** (1 + b)
    expected = powered / powered.sum(-1, keepdim=True)
    torch.testing.assert_close(graves.log_weight.exp(), expected)
    torch.testing.assert_close(graves.pen_logit, mixture.pen_logit)
    torch.testing.assert_close(pen.pen_logit, mixture.pen_logit * (1 + b))


def test_zero_bias_changes_nothing(generator):
    """b = 0 returns the very same density in every form."""
    mixture = Mixture.from_raw(torch.randn(7, raw_size(5), generator=generator))
    assert all(mixture.biased(0.0, form) is mixture for form in ("sigma", "graves", "pen"))


@pytest.mark.parametrize(
    ("bias", "form", "match"),
    [
        (-1, "sigma", "bias must be"),
        (math.nan, "sigma", "bias must be"),
        (1, "soft", "must be one"),
    ],
)
def test_bad_bias_is_refused(bias, form, match):
    """A negative or undefined bias, or an unknown form, is an error that says so."""
    with pytest.raises(ValueError, match=match):
        Mixture.from_raw(torch.zeros(raw_size(1))).biased(bias, form)


def test_wrong_raw_size_is_refused():
    """The last dimension must be 6 M + 1."""
    with pytest.raises(ValueError, match="6 M"):
        Mixture.from_raw(torch.zeros(3, 12))
