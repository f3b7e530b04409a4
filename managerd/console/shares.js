// Shares of traffic that always add up to 100 percent, in whole hundredths. Pure.

export const WHOLE = 10000;

// Splits `total` by `weights`, in whole numbers, the largest remainders first.
function split(total, weights) {
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((one) => (total * one) / sum),
    parts = exact.map(Math.floor);
  const order = exact.map((one, i) => [one - parts[i], i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  for (let left = total - parts.reduce((a, b) => a + b, 0), i = 0; left > 0; left--, i++)
    parts[order[i % order.length][1]]++;
  return parts;
}

// The shares after one is set: the others give or take by what they have; when they have nothing, the first other takes all.
export function balance(shares, index, value) {
  if (shares.length < 2) return shares.map(() => WHOLE);
  const wanted = Math.min(WHOLE, Math.max(0, Math.round(value)));
  const others = shares.map((one, i) => (i === index ? 0 : one));
  if (others.every((one) => one === 0)) others[index === 0 ? 1 : 0] = 1;
  const parts = split(WHOLE - wanted, others);
  return parts.map((one, i) => (i === index ? wanted : one));
}

// Percents as the API tells them -> hundredths that add up to the whole.
export function fromPercents(percents) {
  if (percents.length === 0) return [];
  const shares = percents.map((one) => Math.round(one * 100));
  const sum = shares.reduce((a, b) => a + b, 0);
  return sum === WHOLE ? shares : split(WHOLE, sum > 0 ? shares : shares.map(() => 1));
}
