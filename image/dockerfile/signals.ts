const names = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP ' +
    'TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
);

/**
 * Whether STOPSIGNAL takes this: a Linux signal's name, with or without `SIG`, or its number.
 * https://docs.docker.com/reference/dockerfile/#stopsignal
 */
export function isStopSignal(signal: string): boolean {
  if (/^[+-]?\d+$/.test(signal)) return Number(signal) !== 0;
  const name = signal.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RT(MIN\+|MAX-)(\d+)$/.exec(name);
  if (realTime) return Number(realTime[2]) >= 1 && Number(realTime[2]) <= (realTime[1] === 'MIN+' ? 15 : 14);
  return names.has(name);
}
