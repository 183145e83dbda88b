// Cached pages at a constant arrival rate, over all instances in turn.
//
// `perfcheck check` starts this with PLAN, the path of a JSON file:
//   {"instances": ["http://…"], "pages": [{"kind", "path", "expect": ["text in the page"]}],
//    "rate_per_s", "duration_s", "vus_max", "timeout_s"}
// Nothing is judged here and there are no thresholds: a threshold without samples passes, and so does an exception
// in every iteration. Each request becomes one point of the metric `page`, whose tags say all that Python judges.
import http from 'k6/http';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';
import { Trend } from 'k6/metrics';

const plan = new SharedArray('plan', () => [JSON.parse(open(__ENV.PLAN))])[0];
const page = new Trend('page', true);

export const options = {
  // Our own metric carries what is judged: k6's own points need no tags.
  systemTags: [],
  scenarios: {
    pages: {
      executor: 'constant-arrival-rate',
      rate: plan.rate_per_s,
      timeUnit: '1s',
      duration: `${plan.duration_s}s`,
      preAllocatedVUs: plan.vus_max,
      gracefulStop: `${plan.timeout_s}s`,
    },
  },
};

const parameters = {
  headers: { Accept: 'text/html', 'Accept-Encoding': 'gzip' },
  timeout: `${plan.timeout_s}s`,
  redirects: 0,
};

// RFC 9211: the member of the cache nearest to the client comes last. A page served although it is no longer
// fresh is `hit` with a negative ttl.
function cacheState(header) {
  if (!header) return 'none';
  const nearest = header.split(',').pop();
  if (/;\s*hit\b/.test(nearest)) return /;\s*ttl=-/.test(nearest) ? 'stale' : 'hit';
  if (/;\s*fwd=stale\b/.test(nearest)) return 'stale';
  return 'miss';
}

export default function () {
  const turn = exec.scenario.iterationInTest;
  const instance = turn % plan.instances.length;
  const wanted = plan.pages[Math.floor(turn / plan.instances.length) % plan.pages.length];
  const response = http.get(plan.instances[instance] + wanted.path, parameters);
  const body = response.body || '';
  page.add(response.timings.duration, {
    instance: String(instance),
    kind: wanted.kind,
    code: String(response.status),
    cache: cacheState(response.headers['Cache-Status']),
    right: response.status === 200 && wanted.expect.every((text) => body.includes(text)) ? 'yes' : 'no',
  });
}
