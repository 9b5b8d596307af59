/** Runs something with a signal that fires after a while or with another signal; leaves nothing behind. */
export async function within<T>(
  milliseconds: number,
  parent: AbortSignal | undefined,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  // `AbortSignal.any` would leave a trace of every call on a parent that lives as long as the process.
  const controller = new AbortController();
  const abort = (): void => {
    controller.abort();
  };
  const timer = setTimeout(abort, milliseconds);
  parent?.addEventListener("abort", abort, { once: true });
  if (parent?.aborted === true) abort();
  try {
    return await act(controller.signal);
  } finally {
    clearTimeout(timer);
    parent?.removeEventListener("abort", abort);
  }
}
