/** What has happened since the plugin was registered. */
export interface Stats {
  /** Checks that the service answered, with yes or no. */
  checked: number;
  /** Requests answered 429, whether by the service or from a cache. */
  refused: number;
  /** Those of them that were refused from a cache. */
  servedFromCache: number;
  /** Requests let through without an answer of the service. */
  failedOpen: number;
  /** Requests answered 503 for want of an answer of the service. */
  failedClosed: number;
  /** Usage that the service has recorded. */
  tracked: number;
  /** Holds that the service was told to release. */
  released: number;
  /** Deliveries of usage and releases that were tried again. */
  retried: number;
  /** Records written to the spool file. */
  spooled: number;
  /** Records lost: neither memory nor the spool has room, or refused for good by the service. */
  dropped: number;
  /** Usage that a handler reported and that can't be right; its hold is kept. */
  invalid: number;
  /** Answers that Redis did not give in time, or at all. */
  redisErrors: number;
  /** Records waiting in memory now. */
  queued: number;
  /** Bytes waiting in the spool now. */
  spoolBytes: number;
}

export function newStats(): Stats {
  return {
    checked: 0,
    refused: 0,
    servedFromCache: 0,
    failedOpen: 0,
    failedClosed: 0,
    tracked: 0,
    released: 0,
    retried: 0,
    spooled: 0,
    dropped: 0,
    invalid: 0,
    redisErrors: 0,
    queued: 0,
    spoolBytes: 0,
  };
}
