// How a program tells what it found: a line of JSON for each thing it tried.
export function tell(name, failed) {
  console.log(JSON.stringify({ name, failed: failed ?? null }));
}

// Tries one thing; what it throws is why it failed.
export async function attempt(name, act) {
  try {
    await act();
    tell(name);
  } catch (error) {
    tell(name, String(error?.stack ?? error).slice(0, 2000));
  }
}

export function check(right, what) {
  if (!right) throw new Error(what);
}

export function same(found, wanted, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a?.slice(0, 600)} is not ${b?.slice(0, 600)}`);
}
